/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash map with open addressing and linear probing. The number of slots is a power of two;
 * entries and tombstones together fill at most three quarters of them, so a probe always ends at an
 * empty slot. A deleted entry leaves a tombstone only where a probe has to pass over it: before an
 * empty slot it and the tombstones in front of it become empty again.
 *
 * An adversary who chooses the keys cannot choose where they land, because SipHash is keyed:
 * https://www.aumasson.jp/siphash/. The variant with one round a word and three at the end is what
 * hash tables of CPython and Rust use.
 */
#include "base/map.h"

#define MAP_FIRST 8

struct map_slot {
	char *key; /* NULL: empty; &tomb: deleted */
	size_t n;
	uint64_t hash;
	void *value;
};

static char tomb;

static uint64_t load_le64(const uint8_t *p)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < 8; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static uint64_t rotl(uint64_t v, unsigned int bits)
{
	return v << bits | v >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
}

uint64_t siphash13(const uint64_t key[2], const void *p, size_t n)
{
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
			  key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573 };
	const uint8_t *in = p;
	uint64_t last = (uint64_t)n << 56; /* the length modulo 256 fills the top byte */
	size_t left = n;

	for (; left >= 8; in += 8, left -= 8)
		sip_word(v, load_le64(in));
	for (size_t i = 0; i < left; i++)
		last |= (uint64_t)in[i] << (8 * i);
	sip_word(v, last);
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void map_init(struct map *m, size_t max, const uint8_t seed[16])
{
	*m = (struct map){ .max = max, .key = { load_le64(seed), load_le64(seed + 8) } };
}

static bool slot_live(const struct map_slot *s)
{
	return s->key && s->key != &tomb;
}

void map_done(struct map *m, void (*free_value)(void *value))
{
	for (size_t i = 0; i < m->cap; i++) {
		struct map_slot *s = &m->slots[i];

		if (!slot_live(s))
			continue;
		free(s->key);
		if (free_value)
			free_value(s->value);
	}
	free(m->slots);
	m->slots = NULL;
	m->used = m->tombs = m->cap = 0;
}

/* The slot of the key; else the one where it would go (a tombstone on the way, if there was one).
 * The map has slots. */
static struct map_slot *probe(const struct map *m, struct str key, uint64_t hash)
{
	struct map_slot *free_slot = NULL;

	for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct map_slot *s = &m->slots[i];

		if (!s->key)
			return free_slot ? free_slot : s;
		if (s->key == &tomb) {
			if (!free_slot)
				free_slot = s;
		} else if (s->hash == hash && str_eq((struct str){ s->key, s->n }, key)) {
			return s;
		}
	}
}

/* Moves everything into new slots: more of them if entries fill half, as many if it is tombstones
 * that do. */
static int rehash(struct map *m)
{
	size_t cap = !m->cap ? MAP_FIRST : m->used >= m->cap / 2 ? m->cap * 2 : m->cap;
	struct map_slot *slots = calloc(cap, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < m->cap; i++) {
		const struct map_slot *s = &m->slots[i];
		size_t at = s->hash & (cap - 1);

		if (!slot_live(s))
			continue;
		while (slots[at].key)
			at = (at + 1) & (cap - 1);
		slots[at] = *s;
	}
	free(m->slots);
	m->slots = slots;
	m->cap = cap;
	m->tombs = 0;
	return 0;
}

void *map_get(const struct map *m, struct str key)
{
	const struct map_slot *s;

	if (!m->used)
		return NULL;
	s = probe(m, key, siphash13(m->key, key.p, key.n));
	return slot_live(s) ? s->value : NULL;
}

int map_put(struct map *m, struct str key, void *value)
{
	uint64_t hash = siphash13(m->key, key.p, key.n);
	struct map_slot *s = m->cap ? probe(m, key, hash) : NULL;
	char *copy;

	if (s && slot_live(s))
		return -EEXIST;
	if (m->used >= m->max)
		return -ENOSPC;
	copy = malloc(key.n ? key.n : 1);
	if (!copy)
		return -ENOMEM;
	if (!s || (!s->key && m->used + m->tombs + 1 > m->cap / 4 * 3)) {
		if (rehash(m) < 0) {
			free(copy);
			return -ENOMEM;
		}
		s = probe(m, key, hash);
	}
	if (key.n)
		memcpy(copy, key.p, key.n);
	if (s->key == &tomb)
		m->tombs--;
	*s = (struct map_slot){ copy, key.n, hash, value };
	m->used++;
	return 0;
}

void *map_del(struct map *m, struct str key)
{
	struct map_slot *s;
	size_t mask = m->cap - 1, i;
	void *value;

	if (!m->used)
		return NULL;
	s = probe(m, key, siphash13(m->key, key.p, key.n));
	if (!slot_live(s))
		return NULL;
	value = s->value;
	free(s->key);
	*s = (struct map_slot){ .key = &tomb };
	m->used--;
	m->tombs++;
	i = (size_t)(s - m->slots);
	if (!m->slots[(i + 1) & mask].key) {
		for (; m->slots[i].key == &tomb; i = (i - 1) & mask) {
			m->slots[i].key = NULL;
			m->tombs--;
		}
	}
	return value;
}

bool map_next(const struct map *m, size_t *at, struct str *ret_key, void **ret_value)
{
	for (; *at < m->cap; (*at)++) {
		const struct map_slot *s = &m->slots[*at];

		if (!slot_live(s))
			continue;
		*ret_key = (struct str){ s->key, s->n };
		*ret_value = s->value;
		(*at)++;
		return true;
	}
	return false;
}
