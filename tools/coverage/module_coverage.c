// SPDX-License-Identifier: GPL-2.0
/*
 * Which code of our modules ran: `make coverage` loads this before them.
 *
 * Modules that are compiled for coverage (FERRITE_COVERAGE in Kbuild) count in
 * sections of their own, whose sizes the parameter tells. When one of them is
 * unloaded, after it has run its last instruction, what it counted is added to
 * what was counted before. The sums are in debugfs, each in the format that
 * llvm-profdata reads:
 *
 *	/sys/kernel/debug/module_coverage/<module>
 *
 * A file is empty until its module was unloaded for the first time.
 */

#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

/* Of LLVM 19, which Debian's rustc 1.85 is built with. */
#define PROFILE_VERSION 10

/* Size of a record, which there is one of for each function. */
#define RECORD_SIZE 64

/* What a profile begins with: InstrProfData.inc of LLVM. */
struct profile_header {
	u64 magic;
	u64 version;
	u64 binary_ids_size;
	u64 records;
	u64 padding_before_counters;
	u64 counters;
	u64 padding_after_counters;
	u64 bitmap_bytes;
	u64 padding_after_bitmap;
	u64 names_size;
	/* Where the counters are, seen from the records. */
	u64 counters_delta;
	u64 bitmap_delta;
	u64 names_delta;
	u64 vtables;
	u64 vtable_names_size;
	u64 value_kind_last;
};

#define PROFILE_MAGIC 0xff6c70726f667281ULL

#define MAX_MODULES 8

/* What one module counted, all of the times that it was loaded. */
struct profile {
	char name[MODULE_NAME_LEN];
	struct profile_header header;
	struct debugfs_blob_wrapper blob;
};

static struct profile profiles[MAX_MODULES];

static char *modules[MAX_MODULES];
static int modules_count;
module_param_array(modules, charp, &modules_count, 0400);
MODULE_PARM_DESC(modules,
		 "name:records:counters:names, sizes in bytes, of each module");

/* Returns the address of a section, which sysfs tells. */
static void *find_section(const char *module, const char *section)
{
	unsigned long address;
	struct file *file;
	char text[96];
	loff_t at = 0;
	ssize_t length;

	snprintf(text, sizeof(text), "/sys/module/%s/sections/%s", module,
		 section);
	file = filp_open(text, O_RDONLY, 0);
	if (IS_ERR(file))
		return NULL;
	length = kernel_read(file, text, sizeof(text) - 1, &at);
	filp_close(file, NULL);
	if (length <= 0)
		return NULL;
	text[length] = '\0';
	return kstrtoul(strim(text), 16, &address) ? NULL : (void *)address;
}

static void add_profile(struct profile *profile)
{
	struct profile_header *header = &profile->header;
	size_t records_size = header->records * RECORD_SIZE;
	void *records = find_section(profile->name, "__llvm_prf_data");
	u64 *counters = find_section(profile->name, "__llvm_prf_cnts");
	void *names = find_section(profile->name, "__llvm_prf_names");
	u64 *sums;
	u64 i;

	if (!records || !counters || !names) {
		pr_warn("%s has no coverage\n", profile->name);
		return;
	}
	sums = profile->blob.data + sizeof(*header) + records_size;
	if (!profile->blob.size) {
		header->counters_delta = (void *)counters - records;
		header->names_delta = (unsigned long)names;
		memcpy(profile->blob.data, header, sizeof(*header));
		memcpy(profile->blob.data + sizeof(*header), records,
		       records_size);
		memcpy(sums, counters, header->counters * sizeof(u64));
		memcpy(sums + header->counters, names, header->names_size);
		profile->blob.size = sizeof(*header) + records_size +
				     header->counters * sizeof(u64) +
				     ALIGN(header->names_size, sizeof(u64));
		return;
	}
	for (i = 0; i < header->counters; i++)
		sums[i] += counters[i];
}

static int module_changed(struct notifier_block *block, unsigned long state,
			  void *data)
{
	struct module *module = data;
	int i;

	if (state != MODULE_STATE_GOING)
		return NOTIFY_DONE;
	for (i = 0; i < modules_count; i++) {
		if (!strcmp(profiles[i].name, module->name))
			add_profile(&profiles[i]);
	}
	return NOTIFY_OK;
}

static struct notifier_block notifier = {
	.notifier_call = module_changed,
};

static int read_sizes(struct profile *profile, const char *text)
{
	struct profile_header *header = &profile->header;
	const char *colon = strchr(text, ':');
	u64 records, counters, names;

	if (!colon || colon - text >= sizeof(profile->name) ||
	    sscanf(colon, ":%llu:%llu:%llu", &records, &counters, &names) != 3)
		return -EINVAL;
	memcpy(profile->name, text, colon - text);
	header->magic = PROFILE_MAGIC;
	header->version = PROFILE_VERSION;
	header->records = records / RECORD_SIZE;
	header->counters = counters / sizeof(u64);
	header->names_size = names;
	/* Values are not profiled; the last kind there is has number 2. */
	header->value_kind_last = 2;
	profile->blob.data = vzalloc(sizeof(*header) + records + counters +
				     ALIGN(names, sizeof(u64)));
	return profile->blob.data ? 0 : -ENOMEM;
}

static struct dentry *directory;

static void forget(void)
{
	int i;

	debugfs_remove(directory);
	for (i = 0; i < modules_count; i++)
		vfree(profiles[i].blob.data);
}

static int __init coverage_init(void)
{
	int i, error;

	directory = debugfs_create_dir("module_coverage", NULL);
	for (i = 0; i < modules_count; i++) {
		error = read_sizes(&profiles[i], modules[i]);
		if (error)
			goto fail;
		debugfs_create_blob(profiles[i].name, 0400, directory,
				    &profiles[i].blob);
	}
	error = register_module_notifier(&notifier);
	if (error)
		goto fail;
	return 0;

fail:
	forget();
	return error;
}
module_init(coverage_init);

static void __exit coverage_exit(void)
{
	unregister_module_notifier(&notifier);
	forget();
}
module_exit(coverage_exit);

MODULE_DESCRIPTION("Counts what code of modules runs");
MODULE_LICENSE("GPL");
