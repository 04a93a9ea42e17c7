/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library against programs that are not nono-proxy: shell scripts that say what a test wants said. What
 * they were called with, and whether they have ended, they tell by a pipe (or a file) beside it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/child.h"
#include "include/nono_proxy.h"

#define TOKEN "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define READY                                                                   \
	"{\"event\":\"ready\",\"listen\":\"127.0.0.1:4711\",\"token\":\"" TOKEN \
	"\",\"pid\":1,\"env\":{\"HTTP_PROXY\":\"http://nono:" TOKEN             \
	"@127.0.0.1:4711\",\"NO_PROXY\":\"localhost,127.0.0.1,::1\"}}"
/* Until the library hangs up, as the real one does. */
#define UNTIL_END "\nwhile read -r _ <&1; do :; done\n"
#define SAY(what) "printf '%s\\n' '" what "'\n"

static char directory[] = "/tmp/nono-api-XXXXXX";

static void path_of(const char *name, char out[128])
{
	(void)snprintf(out, 128, "%s/%s", directory, name);
}

/* Writes a program into the test's directory; its path is good until the next call. */
static const char *program(const char *text)
{
	static char path[128];
	int fd;

	path_of("program", path);
	(void)unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	assert_true(fd >= 0);
	assert_int_equal(dprintf(fd, "#!/bin/sh\n%s", text), 10 + (int)strlen(text));
	close(fd);
	return path;
}

static char *contents(const char *name)
{
	static char text[8192];
	char path[128];
	ssize_t n;
	int fd;

	path_of(name, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	n = read(fd, text, sizeof(text) - 1);
	assert_true(n >= 0);
	text[n] = '\0';
	close(fd);
	(void)unlink(path);
	return text;
}

static int count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int start_fails(const struct nono_proxy_config *cfg)
{
	struct nono_proxy *p = (void *)cfg;
	int before = count_descriptors(), r = nono_proxy_start(cfg, &p);

	assert_true(r < 0);
	assert_null(p);
	assert_true(nono_proxy_last_error()[0]);
	assert_int_equal(count_descriptors(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	return r;
}

static struct nono_proxy *start(const struct nono_proxy_config *cfg)
{
	struct nono_proxy *p = NULL;
	int r = nono_proxy_start(cfg, &p);

	if (r < 0)
		fail_msg("it did not start: %d, %s", r, nono_proxy_last_error());
	assert_string_equal(nono_proxy_last_error(), "");
	return p;
}

static void test_size_tells_the_version(void **state)
{
	struct {
		struct nono_proxy_config cfg;
		unsigned char tail[64];
	} newer = { .cfg = NONO_PROXY_CONFIG_INIT };
	static const size_t senseless[] = {
		0,    1,	   sizeof(size_t), 9, sizeof(newer.cfg) - 1, sizeof(newer.cfg) + 1,
		4104, SIZE_MAX - 7
	};

	(void)state;
	newer.cfg.program = program(SAY(READY) UNTIL_END);
	for (size_t i = 0; i < sizeof(senseless) / sizeof(senseless[0]); i++) {
		newer.cfg.size = senseless[i];
		assert_int_equal(start_fails(&newer.cfg), -EINVAL);
		assert_non_null(strstr(nono_proxy_last_error(), "NONO_PROXY_CONFIG_INIT"));
	}

	newer.cfg.size = sizeof(newer);
	for (size_t i = 0; i < sizeof(newer.tail); i++) {
		newer.tail[i] = 1;
		assert_int_equal(start_fails(&newer.cfg), -E2BIG);
		newer.tail[i] = 0;
	}
	nono_proxy_shutdown(start(&newer.cfg));

	newer.cfg.size = sizeof(newer.cfg);
	newer.tail[0] = 1;
	nono_proxy_shutdown(start(&newer.cfg));
	newer.cfg.reserved = 1;
	assert_int_equal(start_fails(&newer.cfg), -E2BIG);
}

/* What an old caller's structure does not have is not read: behind it lies something else. */
static void test_size_of_an_older_version(void **state)
{
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;

	(void)state;
	cfg.program = program("echo \"$@\" >\"${0%/*}/words\"\n" SAY(READY) UNTIL_END);
	cfg.size = offsetof(struct nono_proxy_config, max_connections);
	memset((char *)&cfg + cfg.size, 0xff, sizeof(cfg) - cfg.size);
	nono_proxy_shutdown(start(&cfg));
	assert_string_equal(contents("words"),
			    "serve --json --owner-fd=1 --no-config --audit-log=/dev/null\n");
}

/* Where the program is installed is known, and said when it is not there. */
static void test_installed_program(void **state)
{
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;

	(void)state;
	assert_int_equal(child_program()[0], '/');
	if (access(child_program(), F_OK) == 0)
		return;
	assert_int_equal(start_fails(&cfg), -ENOENT);
	assert_non_null(strstr(nono_proxy_last_error(), child_program()));
}

static void test_nothing_given(void **state)
{
	struct nono_proxy *p = (void *)&p;
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;

	(void)state;
	assert_int_equal(nono_proxy_start(NULL, &p), -EINVAL);
	assert_null(p);
	assert_int_equal(nono_proxy_start(&cfg, NULL), -EINVAL);
	nono_proxy_shutdown(NULL);
	assert_int_equal(nono_proxy_port(NULL), 0);
	assert_null(nono_proxy_token(NULL));
	assert_null(nono_proxy_env_vars(NULL));
	assert_int_equal(nono_proxy_pid(NULL), -1);
	assert_int_equal(nono_proxy_poll_fd(NULL), -1);
	assert_false(nono_proxy_is_running(NULL));
}

static void test_command_line(void **state)
{
	const char *allowed[] = {
		"a.example,b.example", "-x", "--monitor", "two\nlines", "", " *:443 ", NULL
	};
	const char *denied[] = { "c.example", NULL };
	const char *cidrs[] = { "10.0.0.0/8:1", "::1/128:2", NULL };
	const char *resolvers[] = { "192.0.2.53", NULL };
	const char *none[] = { NULL };
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;

	(void)state;
	cfg.program = program("printf '<%s>' \"$@\" >\"${0%/*}/words\"\n" SAY(READY) UNTIL_END);
	nono_proxy_shutdown(start(&cfg));
	assert_string_equal(contents("words"),
			    "<serve><--json><--owner-fd=1><--no-config><--audit-log=/dev/null>");

	cfg.allowed_hosts = allowed;
	cfg.denied_hosts = denied;
	cfg.allowed_cidrs = cidrs;
	cfg.resolvers = resolvers;
	cfg.config_file = "f.json";
	cfg.listen = "::1";
	cfg.port = 65535;
	cfg.audit_log = "/a b/c";
	cfg.log_level = "debug";
	cfg.max_connections = 7;
	cfg.drain_timeout_ms = 1001;
	cfg.monitor = cfg.no_auth = true;
	nono_proxy_shutdown(start(&cfg));
	assert_string_equal(contents("words"),
			    "<serve><--json><--owner-fd=1><--config=f.json><--allow-domain=a."
			    "example,b.example><--allow-domain=-x>"
			    "<--allow-domain=--monitor><--allow-domain=two\nlines><--allow-domain=>"
			    "<--allow-domain= *:443 >"
			    "<--deny-domain=c.example><--allow-cidr=10.0.0.0/8:1><--allow-cidr=::1/"
			    "128:2><--resolver=192.0.2.53>"
			    "<--listen=::1><--audit-log=/a "
			    "b/c><--log-level=debug><--drain-timeout=2><--port=65535>"
			    "<--max-connections=7><--monitor><--no-auth>");

	cfg = (struct nono_proxy_config)NONO_PROXY_CONFIG_INIT;
	cfg.program = program("echo $# >\"${0%/*}/words\"\n" SAY(READY) UNTIL_END);
	cfg.allowed_hosts = cfg.denied_hosts = cfg.allowed_cidrs = cfg.resolvers = none;
	nono_proxy_shutdown(start(&cfg));
	assert_string_equal(contents("words"), "5\n");
}

static void test_what_the_program_inherits(void **state)
{
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;
	struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
	sigset_t all, kept;
	int leak = dup2(STDERR_FILENO, 20);

	(void)state;
	assert_int_equal(leak, 20);
	(void)sigfillset(&all);
	assert_int_equal(sigaction(SIGUSR1, &ignore, &before), 0);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &all, &kept), 0);
	/* (Of itself, sed tells: a shell that waits blocks signals for a while.) */
	cfg.program = program(
		"exec 3>\"${0%/*}/inherited\"\n"
		"for i in 0 1 2 4 5 6 7 8 9 20; do readlink /proc/$$/fd/$i; done | sed 's/:.*//' "
		">&3\n"
		"sed -n 's/^SigBlk:.*\\(.\\{8\\}\\)$/blocked \\1/p' /proc/self/status >&3\n"
		"sed -n 's/^SigIgn:.*\\(.\\{7\\}\\)$/ignored \\1/p' /proc/self/status >&3\n"
		"tr '\\0' '\\n' </proc/$$/environ >&3\n"
		"[ \"$(cut -d' ' -f6 /proc/$$/stat)\" = $$ ] && echo own session >&3\n"
		"exec 3>&-\n" SAY(READY) UNTIL_END);
	nono_proxy_shutdown(start(&cfg));
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &kept, NULL), 0);
	assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
	close(leak);
	assert_string_equal(contents("inherited"),
			    "/dev/null\nsocket\n/dev/null\n"
			    "blocked 00000000\nignored 0000000\nown session\n");
}

static void test_log_fd(void **state)
{
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;
	char text[16] = "";
	int log[2];

	(void)state;
	assert_int_equal(pipe2(log, O_CLOEXEC), 0);
	cfg.program = program("echo words >&2\n" SAY(READY) UNTIL_END);
	cfg.log_fd = log[1];
	nono_proxy_shutdown(start(&cfg));
	assert_int_equal(read(log[0], text, sizeof(text)), 6);
	assert_string_equal(text, "words\n");
	close(log[0]);
	close(log[1]);

	assert_int_equal(start_fails(&cfg), -EINVAL);
	assert_non_null(strstr(nono_proxy_last_error(), "log_fd"));
}

/* A host that has closed its standard descriptors gets them back as ours: nothing may be mixed up. */
static void test_without_standard_descriptors(void **state)
{
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;
	struct nono_proxy *p = NULL;
	int kept[3], log;

	(void)state;
	cfg.program = program("echo words >&2\n" SAY(READY) UNTIL_END);
	for (int i = 0; i < 3; i++) {
		kept[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
		assert_true(kept[i] >= 10);
	}
	(void)fflush(NULL);
	for (int i = 0; i < 3; i++)
		close(i);
	log = memfd_create("log", MFD_CLOEXEC);
	cfg.log_fd = log;
	(void)nono_proxy_start(&cfg, &p);
	close(log);
	for (int i = 0; i < 3; i++)
		(void)dup2(kept[i], i);
	assert_int_equal(log, 0);
	assert_non_null(p);
	/* Ours lie behind: the host may open its own again. */
	assert_true(nono_proxy_poll_fd(p) > 2);
	assert_true(nono_proxy_is_running(p));
	for (int i = 0; i < 3; i++)
		close(kept[i]);
	nono_proxy_shutdown(p);
}

static void test_what_a_handle_knows(void **state)
{
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;
	const char *const *env;
	struct nono_proxy *p;

	(void)state;
	cfg.program = program(SAY(READY) UNTIL_END);
	p = start(&cfg);
	assert_int_equal(nono_proxy_port(p), 4711);
	assert_string_equal(nono_proxy_token(p), TOKEN);
	env = nono_proxy_env_vars(p);
	assert_string_equal(env[0], "HTTP_PROXY=http://nono:" TOKEN "@127.0.0.1:4711");
	assert_string_equal(env[1], "NO_PROXY=localhost,127.0.0.1,::1");
	assert_null(env[2]);
	assert_true(nono_proxy_pid(p) > 0);
	assert_int_equal(kill(nono_proxy_pid(p), 0), 0);
	assert_int_equal(fcntl(nono_proxy_poll_fd(p), F_GETFD), FD_CLOEXEC);
	nono_proxy_shutdown(p);
}

#define ENV   "\"env\":{\"A\":\"b\"}"
#define BEGIN "{\"event\":\"ready\","
#define HERE  "\"listen\":\"127.0.0.1:1\","
#define FREE  "\"token\":null,"

static void test_lines(void **state)
{
	static const struct {
		const char *line, *env; /* NULL: refused */
	} rows[] = {
		{ BEGIN HERE FREE ENV "}", "A=b" },
		{ "{" ENV "," FREE HERE "\"event\":\"ready\"}", "A=b" },
		{ " { \"event\" : \"ready\" , " HERE FREE ENV " } ", "A=b" },
		{ BEGIN HERE FREE "\"env\":{}}", "" },
		{ BEGIN HERE FREE
		  "\"env\":{\"A\":\"\\\"\\\\\\\\\\/\\n\\t\\r\\b\\f\\u00e4\\u20ac\\u0041=\"}}",
		  "A=\"\\\\/\n\t\r\b\f\xc3\xa4\xe2\x82\xac"
		  "A=" },
		/* members that a newer program may have */
		{ BEGIN HERE FREE ENV
		  ",\"x\":[1,{\"y\":[true,null,\"]}\"]},-1.5e+3],\"z\":false,\"w\":\"v\"}",
		  "A=b" },
		{ BEGIN HERE FREE ENV ",\"x\":[[[[[[[[1]]]]]]]]}", "A=b" },
		{ BEGIN HERE FREE ENV ",\"x\":[[[[[[[[[1]]]]]]]]]}", NULL },
		{ BEGIN HERE FREE ENV ",\"x\":]}", NULL },
		{ BEGIN HERE FREE ENV ",\"x\":}", NULL },
		{ BEGIN HERE FREE ENV ",\"x\":[", NULL },
		{ BEGIN HERE FREE ENV ",\"x\":%}", NULL },
		/* no JSON */
		{ "", NULL },
		{ "ready", NULL },
		{ "listening on 127.0.0.1:1", NULL },
		{ "[]", NULL },
		{ "{}", NULL },
		{ BEGIN HERE FREE ENV, NULL },
		{ BEGIN HERE FREE ENV "} x", NULL },
		{ BEGIN HERE FREE ENV ",}", NULL },
		{ BEGIN HERE FREE ENV "}}", NULL },
		{ "{event:\"ready\"," HERE FREE ENV "}", NULL },
		/* what must be there, once, and of its type */
		{ "{" HERE FREE ENV "}", NULL },
		{ BEGIN FREE ENV "}", NULL },
		{ BEGIN HERE ENV "}", NULL },
		{ BEGIN HERE "\"token\":null}", NULL },
		{ BEGIN BEGIN HERE FREE ENV "}", NULL },
		{ BEGIN "\"event\":\"ready\"," HERE FREE ENV "}", NULL },
		{ BEGIN HERE HERE FREE ENV "}", NULL },
		{ BEGIN HERE FREE FREE ENV "}", NULL },
		{ BEGIN HERE FREE ENV "," ENV "}", NULL },
		{ "{\"event\":\"steady\"," HERE FREE ENV "}", NULL },
		{ "{\"event\":null," HERE FREE ENV "}", NULL },
		{ BEGIN "\"listen\":1," FREE ENV "}", NULL },
		{ BEGIN HERE "\"token\":1," ENV "}", NULL },
		{ BEGIN HERE FREE "\"env\":null}", NULL },
		{ BEGIN HERE FREE "\"env\":{\"A\":null}}", NULL },
		/* values that mean nothing */
		{ BEGIN "\"listen\":\"127.0.0.1\"," FREE ENV "}", NULL },
		{ BEGIN "\"listen\":\":1\"," FREE ENV "}", NULL },
		{ BEGIN "\"listen\":\"127.0.0.1:\"," FREE ENV "}", NULL },
		{ BEGIN "\"listen\":\"127.0.0.1:0\"," FREE ENV "}", NULL },
		{ BEGIN "\"listen\":\"127.0.0.1:65536\"," FREE ENV "}", NULL },
		{ BEGIN "\"listen\":\"127.0.0.1:99999999999999999999\"," FREE ENV "}", NULL },
		{ BEGIN "\"listen\":\"127.0.0.1:1 \"," FREE ENV "}", NULL },
		{ BEGIN HERE "\"token\":\"\"," ENV "}", NULL },
		{ BEGIN HERE "\"token\":\"" TOKEN "0\"," ENV "}", NULL },
		{ BEGIN HERE
		  "\"token\":"
		  "\"ZZ112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"," ENV "}",
		  NULL },
		{ BEGIN HERE FREE "\"env\":{\"\":\"b\"}}", NULL },
		{ BEGIN HERE FREE "\"env\":{\"1\":\"b\"}}", NULL },
		{ BEGIN HERE FREE "\"env\":{\"A=B\":\"b\"}}", NULL },
		/* strings that are none */
		{ BEGIN HERE FREE "\"env\":{\"A\":\"\\u0000\"}}", NULL },
		{ BEGIN HERE FREE "\"env\":{\"A\":\"\\ud83d\\ude00\"}}", NULL },
		{ BEGIN HERE FREE "\"env\":{\"A\":\"\\u00g0\"}}", NULL },
		{ BEGIN HERE FREE "\"env\":{\"A\":\"\\x\"}}", NULL },
		{ BEGIN HERE FREE "\"env\":{\"A\":\"\t\"}}", NULL },
		{ BEGIN HERE FREE "\"env\":{\"A\":\"b", NULL },
		{ BEGIN HERE FREE "\"env\":{\"A\":\"b\\", NULL },
		{ BEGIN HERE FREE "\"env\":{\"A\":\"b\\u00", NULL },
		{ "{\"event\":\"failed\"}", NULL },
		{ "{\"event\":\"failed\",\"error\":null}", NULL },
	};
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct nono_proxy *p = NULL;
		char text[1024];
		int r;

		(void)snprintf(text, sizeof(text), "cat <<'END'\n%s\nEND" UNTIL_END, rows[i].line);
		cfg.program = program(text);
		r = nono_proxy_start(&cfg, &p);
		if (r != (rows[i].env ? 0 : -EPROTO))
			fail_msg("%s: %d (%s)", rows[i].line, r, nono_proxy_last_error());
		if (p) {
			const char *first = nono_proxy_env_vars(p)[0];

			assert_string_equal(first ? first : "", rows[i].env);
			assert_null(nono_proxy_token(p));
			assert_int_equal(nono_proxy_port(p), 1);
		}
		nono_proxy_shutdown(p);
	}
}

static void test_programs_that_fail(void **state)
{
	static const struct {
		const char *text;
		int error;
		const char *sentence;
	} rows[] = {
		{ SAY("{\"event\":\"failed\",\"error\":\"port 1 is taken\"}") "exit 1\n", -EIO,
		  "port 1 is taken" },
		{ SAY("{\"event\":\"failed\",\"error\":\"a..b is no name\"}") "exit 2\n", -EINVAL,
		  "a..b is no name" },
		{ SAY("{\"event\":\"failed\",\"error\":\"it stays\"}") UNTIL_END, -EIO,
		  "it stays" },
		{ "exit 0\n", -EIO, "exit status 0 before" },
		{ "exit 2\n", -EINVAL, "exit status 2 before" },
		{ "exit 77\n", -EIO, "exit status 77 before" },
		{ "kill -9 $$\n", -EIO, "signal 9 before" },
		{ "printf '%s' '" READY "'\n", -EIO, "exit status 0 before" },
		{ "exec >/dev/null\nexec sleep 1000\n", -EPROTO, "closed its standard output" },
		/* A child of its own holds the socket: it has ended all the same. */
		{ "sleep 20 &\necho $! >\"${0%/*}/sleeper\"\nexit 3\n", -EIO,
		  "exit status 3 before" },
		{ SAY("garbage") UNTIL_END, -EPROTO, "not what nono-proxy says" },
		{ "printf 'no\\000thing\\n'" UNTIL_END, -EPROTO, "not what nono-proxy says" },
		{ "exec cat /dev/zero\n", -EPROTO, "not what nono-proxy says" },
		{ "while :; do echo; done\n", -EPROTO, "not what nono-proxy says" },
	};
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cfg.program = program(rows[i].text);
		assert_int_equal(start_fails(&cfg), rows[i].error);
		if (!strstr(nono_proxy_last_error(), rows[i].sentence))
			fail_msg("\"%s\" lacks \"%s\"", nono_proxy_last_error(), rows[i].sentence);
		if (strstr(rows[i].text, "sleeper"))
			(void)kill((pid_t)strtol(contents("sleeper"), NULL, 10), SIGKILL);
	}
}

static void test_programs_that_cannot_be_executed(void **state)
{
	char path[128];
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;

	(void)state;
	path_of("no-such-program", path);
	cfg.program = path;
	assert_int_equal(start_fails(&cfg), -ENOENT);
	assert_non_null(strstr(nono_proxy_last_error(), path));
	assert_non_null(strstr(nono_proxy_last_error(), "No such file"));
	cfg.program = directory;
	assert_int_equal(start_fails(&cfg), -EACCES);
	cfg.program = "";
	assert_int_equal(start_fails(&cfg), -ENOENT);
	cfg.program = program("");
	assert_int_equal(chmod(cfg.program, 0644), 0);
	assert_int_equal(start_fails(&cfg), -EACCES);
	/* Found by its path, never by $PATH. */
	cfg.program = "true";
	assert_int_equal(start_fails(&cfg), -ENOENT);
}

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void on_alarm(int number)
{
	(void)number;
}

/* Signals of the host come in all the time, without SA_RESTART. */
static void interrupt_always(bool on)
{
	struct sigaction action = { .sa_handler = on ? on_alarm : SIG_DFL };
	struct itimerval every = { .it_interval.tv_usec = 2000, .it_value.tv_usec = 2000 };

	if (on)
		assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	else
		every = (struct itimerval){ 0 };
	assert_int_equal(setitimer(ITIMER_REAL, &every, NULL), 0);
	if (!on)
		assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
}

static void test_time_limit_also_under_signals(void **state)
{
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;
	int64_t began;

	(void)state;
	cfg.start_timeout_ms = 200;
	for (int i = 0; i < 2; i++) {
		/* Silence, and words without end that are no line. */
		cfg.program = program(i == 0 ? "exec sleep 1000\n"
					     : "while printf x; do sleep 0.01; done\n");
		interrupt_always(true);
		began = now_ms();
		assert_int_equal(start_fails(&cfg), -ETIMEDOUT);
		interrupt_always(false);
		assert_in_range(now_ms() - began, 200, 5000);
		assert_non_null(strstr(nono_proxy_last_error(), "200 ms"));
	}
	cfg.program = program("sleep 0.1\n" SAY(READY) UNTIL_END);
	cfg.start_timeout_ms = 0;
	interrupt_always(true);
	nono_proxy_shutdown(start(&cfg));
	interrupt_always(false);
}

static void test_line_in_pieces(void **state)
{
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;

	(void)state;
	cfg.program = program(
		"printf '{\"event\":'\nsleep 0.05\nprintf '%s' '\"ready\"," HERE FREE ENV
		"'\nsleep 0.05\necho '}'" UNTIL_END);
	nono_proxy_shutdown(start(&cfg));
}

/* A program that will not end: first asked, then told, then killed. */
static void test_shutdown_of_the_unwilling(void **state)
{
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;
	struct nono_proxy *p;
	int64_t began;

	(void)state;
	cfg.drain_timeout_ms = 100;
	cfg.program = program("trap 'echo told >\"${0%/*}/told\"; exit' TERM\n" SAY(
		READY) "while :; do sleep 0.05; done\n");
	p = start(&cfg);
	began = now_ms();
	nono_proxy_shutdown(p);
	assert_in_range(now_ms() - began, 100, 1100);
	assert_string_equal(contents("told"), "told\n");

	cfg.program = program("trap '' TERM\n" SAY(READY) "while :; do sleep 0.05; done\n");
	p = start(&cfg);
	began = now_ms();
	nono_proxy_shutdown(p);
	assert_in_range(now_ms() - began, 1100, 5000);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void test_end_of_the_proxy_is_seen(void **state)
{
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;
	struct nono_proxy *p;
	struct pollfd fd;

	(void)state;
	cfg.program = program(SAY(READY) "exec sleep 1000\n");
	p = start(&cfg);
	fd = (struct pollfd){ .fd = nono_proxy_poll_fd(p), .events = POLLIN };
	assert_int_equal(poll(&fd, 1, 0), 0);
	assert_true(nono_proxy_is_running(p));
	assert_int_equal(kill(nono_proxy_pid(p), SIGKILL), 0);
	assert_int_equal(poll(&fd, 1, 5000), 1);
	assert_false(nono_proxy_is_running(p));
	/* What it knew is still there, and ending it twice is not needed. */
	assert_int_equal(nono_proxy_port(p), 4711);
	nono_proxy_shutdown(p);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* A host for which the kernel reaps, and one that reaps whatever it finds. */
static void test_hosts_that_reap(void **state)
{
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;
	struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
	struct nono_proxy *p;
	int status;

	(void)state;
	assert_int_equal(sigaction(SIGCHLD, &ignore, &before), 0);
	cfg.program = program(SAY(READY) UNTIL_END);
	nono_proxy_shutdown(start(&cfg));
	cfg.program = program("exit 3\n");
	assert_int_equal(nono_proxy_start(&cfg, &p), -EIO);
	assert_non_null(strstr(nono_proxy_last_error(), "ended before it was ready"));
	cfg.program = program(SAY("{\"event\":\"failed\",\"error\":\"why\"}"));
	assert_int_equal(nono_proxy_start(&cfg, &p), -EIO);
	assert_string_equal(nono_proxy_last_error(), "why");
	assert_int_equal(sigaction(SIGCHLD, &before, NULL), 0);

	cfg.program = program(SAY(READY) "exec sleep 1000\n");
	p = start(&cfg);
	assert_int_equal(kill(nono_proxy_pid(p), SIGKILL), 0);
	assert_int_equal(waitpid(-1, &status, 0), nono_proxy_pid(p));
	assert_false(nono_proxy_is_running(p));
	nono_proxy_shutdown(p);
}

/* In a fork of the host the handle is a copy, and the proxy the parent's; and the copy does not keep the proxy alive. */
static void test_fork_of_the_host(void **state)
{
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;
	struct nono_proxy *p;
	int status, hold[2];
	pid_t pid, holder;
	int64_t began;

	(void)state;
	cfg.program = program(SAY(READY) UNTIL_END);
	p = start(&cfg);
	pid = fork();
	if (pid == 0) {
		nono_proxy_shutdown(p);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(nono_proxy_is_running(p));

	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	holder = fork();
	if (holder == 0) {
		char c;

		close(hold[1]);
		_exit((int)read(hold[0], &c, 1));
	}
	close(hold[0]);
	began = now_ms();
	nono_proxy_shutdown(p);
	/* It heard of it though the holder's copy of the socket is still open: nobody had to end it after 5 s. */
	assert_in_range(now_ms() - began, 0, 4500);
	close(hold[1]);
	assert_int_equal(waitpid(holder, &status, 0), holder);
}

static void *start_in_thread(void *cfg)
{
	struct nono_proxy *p = NULL;

	if (nono_proxy_start(cfg, &p) < 0)
		return NULL;
	return p;
}

static void *fail_in_thread(void *cfg)
{
	struct nono_proxy *p;

	return nono_proxy_start(cfg, &p) < 0 ? strdup(nono_proxy_last_error()) : NULL;
}

static void test_threads(void **state)
{
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT, bad = NONO_PROXY_CONFIG_INIT;
	pthread_t threads[8], failing;
	void *handles[8], *text = NULL;
	int before = count_descriptors();

	(void)state;
	cfg.program = program(SAY(READY) UNTIL_END);
	bad.program = "/nonexistent/program";
	assert_int_equal(start_fails(&(struct nono_proxy_config){ 0 }), -EINVAL);
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, start_in_thread, &cfg), 0);
	assert_int_equal(pthread_create(&failing, NULL, fail_in_thread, &bad), 0);
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_join(threads[i], &handles[i]), 0);
	assert_int_equal(pthread_join(failing, &text), 0);
	assert_non_null(text);
	assert_non_null(strstr(text, "/nonexistent/program"));
	free(text);
	/* Each thread has its own sentence, and a proxy outlives the thread that started it. */
	assert_non_null(strstr(nono_proxy_last_error(), "NONO_PROXY_CONFIG_INIT"));
	for (int i = 0; i < 8; i++) {
		assert_non_null(handles[i]);
		assert_true(nono_proxy_is_running(handles[i]));
		nono_proxy_shutdown(handles[i]);
	}
	assert_int_equal(count_descriptors(), before);
}

/* Each descriptor that could be had is taken away in turn: a sentence, and nothing left behind. */
static void test_without_descriptors(void **state)
{
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;
	struct rlimit before, few;
	int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct nono_proxy *p = NULL;
	int r = -1;

	(void)state;
	close(next);
	cfg.program = program(SAY(READY) UNTIL_END);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	for (int more = 0; more < 32 && r < 0; more++) {
		few = before;
		few.rlim_cur = (rlim_t)(next + more);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		r = nono_proxy_start(&cfg, &p);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		/* The limit is the program's, too: the shell then cannot read what it shall do. */
		if (r < 0 && r != -EMFILE && more < 2)
			fail_msg("with %d: %d (%s)", more, r, nono_proxy_last_error());
		assert_true(more >= 2 || r < 0);
	}
	assert_int_equal(r, 0);
	nono_proxy_shutdown(p);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	r = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(r, next);
	close(r);
}

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	char path[128];
	static const char *const names[] = { "program", "words", "inherited", "told", "sleeper" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		path_of(names[i], path);
		(void)unlink(path);
	}
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_size_tells_the_version),
		cmocka_unit_test(test_size_of_an_older_version),
		cmocka_unit_test(test_installed_program),
		cmocka_unit_test(test_nothing_given),
		cmocka_unit_test(test_command_line),
		cmocka_unit_test(test_what_the_program_inherits),
		cmocka_unit_test(test_log_fd),
		cmocka_unit_test(test_without_standard_descriptors),
		cmocka_unit_test(test_what_a_handle_knows),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_programs_that_fail),
		cmocka_unit_test(test_programs_that_cannot_be_executed),
		cmocka_unit_test(test_time_limit_also_under_signals),
		cmocka_unit_test(test_line_in_pieces),
		cmocka_unit_test(test_shutdown_of_the_unwilling),
		cmocka_unit_test(test_end_of_the_proxy_is_seen),
		cmocka_unit_test(test_hosts_that_reap),
		cmocka_unit_test(test_fork_of_the_host),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_without_descriptors),
	};

	return cmocka_run_group_tests_name("api", tests, make_directory, remove_directory);
}
