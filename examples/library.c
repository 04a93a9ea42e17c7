/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a command whose proxy lets it reach one host.
 *
 *	cc library.c -o library $(pkg-config --cflags --libs nono-proxy)
 *	./library example.com curl -sSI https://example.com/
 *
 * (`nono-proxy run` also keeps a command in that does not want to use the proxy; that takes root.)
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nono_proxy.h>

static int run(char **command, const char *const *env)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		for (; *env; env++)
			putenv((char *)*env);
		execvp(command[0], command);
		perror(command[0]);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;
	const char *hosts[] = { argc > 1 ? argv[1] : NULL, NULL };
	const char *resolvers[] = { getenv("RESOLVER"), NULL };
	struct nono_proxy *proxy;
	int status;

	if (argc < 3) {
		fprintf(stderr, "usage: library HOST COMMAND [ARG...]\n");
		return 2;
	}
	cfg.allowed_hosts = hosts;
	cfg.resolvers = resolvers;		    /* unset: the system's */
	cfg.program = getenv("NONO_PROXY_PROGRAM"); /* unset: the installed one */
	cfg.log_fd = STDERR_FILENO;
	if (nono_proxy_start(&cfg, &proxy) < 0) {
		fprintf(stderr, "no proxy: %s\n", nono_proxy_last_error());
		return 1;
	}

	status = run(argv + 2, nono_proxy_env_vars(proxy));
	printf("%s ended with exit status %d\n", argv[2], status);

	nono_proxy_shutdown(proxy);
	return status == 0 ? 0 : 1;
}
