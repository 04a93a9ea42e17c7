/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/summary.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/log.h"

#define LINES 20

/* It is printed to a terminal, and a stranger chose it. */
static void printable(struct str s, char ret[REFUSAL_TARGET_MAX + 1])
{
	size_t n = MIN(s.n, (size_t)REFUSAL_TARGET_MAX);

	for (size_t i = 0; i < n; i++)
		ret[i] = s.p[i] > 0x20 && s.p[i] < 0x7f ? s.p[i] : '?';
	ret[n] = '\0';
}

static void say_refusal(const char *target, const struct refusal_note *n)
{
	char sentence[REFUSAL_TARGET_MAX + 160], hint[REFUSAL_TARGET_MAX + 160];

	(void)reason_sentence(n->reason, target, sentence, sizeof(sentence));
	(void)reason_hint(n->reason, target, n->port, hint, sizeof(hint));
	log_warn("refused: %s (%s)%s%s", sentence, reason_word(n->reason), hint[0] ? "; " : "",
		 hint);
}

void summary_say(const struct message *m)
{
	struct refusal_note n;
	char target[REFUSAL_TARGET_MAX + 1];

	if (refusal_note_get(m, &n) < 0)
		return;
	printable(n.target, target);
	say_refusal(target, &n);
}

void summary_count(struct refusals *r, const struct message *m, bool verbose)
{
	struct refusal_note n;
	char target[REFUSAL_TARGET_MAX + 1];

	if (refusal_note_get(m, &n) < 0)
		return;
	printable(n.target, target);
	(void)refusals_count(r, target, n.port, n.reason, n.count);
	if (verbose)
		say_refusal(target, &n);
}

void summary_print(const struct refusals *r)
{
	_cleanup_buf_ struct buf out = BUF_INIT(64 * 1024);

	if (refusals_summary(r, LINES, &out) == 0 && buf_len(&out))
		(void)!write(STDERR_FILENO, buf_data(&out), buf_len(&out));
}
