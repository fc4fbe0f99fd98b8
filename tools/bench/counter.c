/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A plugin of QEMU's that counts the instructions which a guest executes, and tells who asks.
 *
 *     -plugin libcounter.so,socket=PATH[,blocks=on]
 *
 * One client at a time; each of its lines is answered:
 *
 *     count     one line, "USER KERNEL": instructions since the machine began
 *     blocks    a line "ADDRESS INSTRUCTIONS" for each block of the kernel's code, then "end"
 *
 * What counts is the block that begins: one that a page fault or an interrupt leaves early counts whole. The
 * counters are each vCPU's own and added to by the translated code itself, so that counting costs an addition
 * a block; they are read while the vCPUs run.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <glib.h>
#include <qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

/* What a vCPU executed. */
struct executed {
	uint64_t user;
	uint64_t kernel;
};

static qemu_plugin_u64 user;
static qemu_plugin_u64 kernel;

/* The kernel's blocks by address, each with its own scoreboard; NULL unless blocks=on. */
static GHashTable *blocks;
static GMutex blocks_lock;

static int listener = -1;

/* The upper half of the address space is the kernel's. */
static bool is_kernel(uint64_t address)
{
	return address >> 63;
}

/* Returns the counter of a block, which may have been translated before. */
static qemu_plugin_u64 counter_of(uint64_t address)
{
	struct qemu_plugin_scoreboard *found;

	g_mutex_lock(&blocks_lock);
	found = g_hash_table_lookup(blocks, &address);
	if (!found) {
		found = qemu_plugin_scoreboard_new(sizeof(uint64_t));
		g_hash_table_insert(blocks, g_memdup2(&address, sizeof(address)), found);
	}
	g_mutex_unlock(&blocks_lock);
	return qemu_plugin_scoreboard_u64(found);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	uint64_t address = qemu_plugin_tb_vaddr(tb);
	uint64_t instructions = qemu_plugin_tb_n_insns(tb);

	qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
		tb, QEMU_PLUGIN_INLINE_ADD_U64, is_kernel(address) ? kernel : user, instructions);
	if (blocks && is_kernel(address))
		qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
			tb, QEMU_PLUGIN_INLINE_ADD_U64, counter_of(address), instructions);
}

static void tell_blocks(FILE *answers)
{
	GHashTableIter iter;
	gpointer address, scoreboard;

	if (blocks) {
		g_mutex_lock(&blocks_lock);
		g_hash_table_iter_init(&iter, blocks);
		while (g_hash_table_iter_next(&iter, &address, &scoreboard)) {
			uint64_t sum = qemu_plugin_u64_sum(qemu_plugin_scoreboard_u64(scoreboard));

			if (sum)
				fprintf(answers, "%" PRIx64 " %" PRIu64 "\n", *(uint64_t *)address, sum);
		}
		g_mutex_unlock(&blocks_lock);
	}
	fputs("end\n", answers);
}

static void talk(FILE *questions, FILE *answers)
{
	char line[16];

	while (fgets(line, sizeof(line), questions)) {
		if (!strcmp(line, "count\n"))
			fprintf(answers, "%" PRIu64 " %" PRIu64 "\n", qemu_plugin_u64_sum(user),
				qemu_plugin_u64_sum(kernel));
		else if (!strcmp(line, "blocks\n"))
			tell_blocks(answers);
		else
			return;
		if (fflush(answers))
			return;
	}
}

static void *serve(void *unused)
{
	int connection;

	while ((connection = accept(listener, NULL, NULL)) >= 0) {
		FILE *questions = fdopen(connection, "r");
		FILE *answers = fdopen(dup(connection), "w");

		if (questions && answers)
			talk(questions, answers);
		if (answers)
			fclose(answers);
		if (questions)
			fclose(questions);
	}
	fprintf(stderr, "counter: %s\n", strerror(errno));
	return NULL;
}

/* Begins to listen at a path that nothing is at yet. */
static bool listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	strcpy(address.sun_path, path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return listener >= 0 && !bind(listener, (struct sockaddr *)&address, sizeof(address)) &&
	       !listen(listener, 1);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
					   char **argv)
{
	struct qemu_plugin_scoreboard *executed;
	const char *path = NULL;
	bool by_block = false;

	for (int i = 0; i < argc; i++) {
		if (g_str_has_prefix(argv[i], "socket=")) {
			path = argv[i] + strlen("socket=");
		} else if (!g_str_has_prefix(argv[i], "blocks=") ||
			   !qemu_plugin_bool_parse("blocks", argv[i] + strlen("blocks="), &by_block)) {
			fprintf(stderr, "counter: no such option: %s\n", argv[i]);
			return -1;
		}
	}
	if (!path || !listen_at(path)) {
		fprintf(stderr, "counter: socket=%s: %s\n", path ?: "", path ? strerror(errno) : "missing");
		return -1;
	}
	executed = qemu_plugin_scoreboard_new(sizeof(struct executed));
	user = qemu_plugin_scoreboard_u64_in_struct(executed, struct executed, user);
	kernel = qemu_plugin_scoreboard_u64_in_struct(executed, struct executed, kernel);
	if (by_block)
		blocks = g_hash_table_new(g_int64_hash, g_int64_equal);
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	g_thread_unref(g_thread_new("counter", serve, NULL));
	return 0;
}
