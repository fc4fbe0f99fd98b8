// SPDX-License-Identifier: GPL-2.0
/*
 * A driver of Ferrite's VFs for the library of the kernel's VFIO selftests (tools/testing/selftests/vfio/lib): it has
 * the function copy memory and send an interrupt, both through the admin queue. See Documentation/hw/admin.md.
 *
 * The library asks vfio_pci_driver_probe() for a driver. The programs are linked with --wrap for that function, so that
 * the one at the end of this file is asked first.
 */
#include <stdint.h>
#include <unistd.h>

#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/sizes.h>

#include "kselftest.h"
#include <libvfio.h>

#define FERRITE_PCI_VENDOR	0x1af4
#define FERRITE_PCI_DEVICE_VF	0x10f1

/* Registers, in BAR 0. */
#define FERRITE_FUNCTION	0x008
#define FERRITE_STATUS		0x018
#define FERRITE_ADMIN_SQ_BASE	0x100
#define FERRITE_ADMIN_CQ_BASE	0x108
#define FERRITE_ADMIN_SIZE	0x110
#define FERRITE_ADMIN_VECTOR	0x114
#define FERRITE_ADMIN_CONTROL	0x118
#define FERRITE_ADMIN_STATUS	0x11c
#define FERRITE_ADMIN_SQ_TAIL	0x120
#define FERRITE_ADMIN_CQ_HEAD	0x124

#define FERRITE_STATUS_READY		0x1
#define FERRITE_VECTOR_ENABLE		0x80000000
#define FERRITE_ADMIN_ENABLED		0x1

#define FERRITE_ECHO		0x0000
#define FERRITE_COPY_MEMORY	0x0006
#define FERRITE_MAX_COPY	0x40000

#define FERRITE_DEPTH_LOG2	8
#define FERRITE_DEPTH		(1U << FERRITE_DEPTH_LOG2)

/* Attempts to see the function ready: a reset takes some milliseconds. */
#define FERRITE_ATTEMPTS	5000

struct ferrite_submission {
	u16 opcode;
	u16 tag;
	u16 function;
	u16 rsvd;
	u64 data_addr;
	u32 data_len;
	u32 rsvd2;
	/* Parameters: all there are to CopyMemory. */
	u64 source;
	u64 destination;
	u32 length;
	u32 rsvd3[5];
};

struct ferrite_completion {
	u16 tag;
	u16 opcode;
	u16 status;
	u16 sq_head;
	u32 result[5];
	u32 meta;
};

/* What the driver has of its region, which it shares with the device but for the last two. */
struct ferrite_state {
	struct ferrite_submission sq[FERRITE_DEPTH];
	struct ferrite_completion cq[FERRITE_DEPTH];
	/* Commands sent, and answered. */
	u32 tail;
	u32 head;
};

_Static_assert(sizeof(struct ferrite_submission) == 64, "size of a submission");
_Static_assert(sizeof(struct ferrite_completion) == 32, "size of a completion");

static struct ferrite_state *to_ferrite_state(struct vfio_pci_device *device)
{
	return device->driver.region.vaddr;
}

/* Registers are not mapped: there is nothing in them that must be fast. */
static u32 ferrite_read(struct vfio_pci_device *device, u32 offset)
{
	u32 value;

	VFIO_ASSERT_EQ(pread(device->fd, &value, 4, device->bars[0].info.offset + offset), 4);
	return value;
}

static void ferrite_write(struct vfio_pci_device *device, u32 offset, u32 value)
{
	VFIO_ASSERT_EQ(pwrite(device->fd, &value, 4, device->bars[0].info.offset + offset), 4);
}

static void ferrite_write_addr(struct vfio_pci_device *device, u32 offset, iova_t addr)
{
	ferrite_write(device, offset, (u32)addr);
	ferrite_write(device, offset + 4, addr >> 32);
}

static int ferrite_probe(struct vfio_pci_device *device)
{
	return vfio_pci_device_match(device, FERRITE_PCI_VENDOR, FERRITE_PCI_DEVICE_VF) ? 0 : -EINVAL;
}

static void ferrite_init(struct vfio_pci_device *device)
{
	struct ferrite_state *ferrite = to_ferrite_state(device);
	int attempts = FERRITE_ATTEMPTS;

	VFIO_ASSERT_GE(device->driver.region.size, sizeof(*ferrite));

	vfio_pci_config_writew(device, PCI_COMMAND,
			       PCI_COMMAND_MEMORY |
			       PCI_COMMAND_MASTER |
			       PCI_COMMAND_INTX_DISABLE);
	while (ferrite_read(device, FERRITE_STATUS) != FERRITE_STATUS_READY) {
		VFIO_ASSERT_GT(--attempts, 0);
		usleep(1000);
	}

	memset(ferrite, 0, sizeof(*ferrite));
	ferrite_write_addr(device, FERRITE_ADMIN_SQ_BASE, to_iova(device, ferrite->sq));
	ferrite_write_addr(device, FERRITE_ADMIN_CQ_BASE, to_iova(device, ferrite->cq));
	ferrite_write(device, FERRITE_ADMIN_SIZE, FERRITE_DEPTH_LOG2);
	ferrite_write(device, FERRITE_ADMIN_VECTOR, 0);
	ferrite_write(device, FERRITE_ADMIN_CONTROL, 1);
	VFIO_ASSERT_EQ(ferrite_read(device, FERRITE_ADMIN_STATUS), FERRITE_ADMIN_ENABLED);

	vfio_pci_msix_enable(device, 0, device->msix_info.count);

	device->driver.msi = 0;
	device->driver.max_memcpy_size = FERRITE_MAX_COPY;
	device->driver.max_memcpy_count = FERRITE_DEPTH;
}

static void ferrite_remove(struct vfio_pci_device *device)
{
	ferrite_write(device, FERRITE_ADMIN_CONTROL, 0);
	VFIO_ASSERT_EQ(ferrite_read(device, FERRITE_ADMIN_STATUS), 0);
	vfio_pci_msix_disable(device);
}

/* Puts a command into the ring. Nothing happens until ferrite_ring(). */
static void ferrite_post(struct vfio_pci_device *device, u16 opcode, iova_t src, iova_t dst, u32 size)
{
	struct ferrite_state *ferrite = to_ferrite_state(device);

	VFIO_ASSERT_LT(ferrite->tail - ferrite->head, FERRITE_DEPTH);
	ferrite->sq[ferrite->tail % FERRITE_DEPTH] = (struct ferrite_submission) {
		.opcode = opcode,
		.tag = ferrite->tail,
		.function = ferrite_read(device, FERRITE_FUNCTION),
		.source = src,
		.destination = dst,
		.length = size,
	};
	ferrite->tail++;
}

static void ferrite_ring(struct vfio_pci_device *device)
{
	ferrite_write(device, FERRITE_ADMIN_SQ_TAIL, to_ferrite_state(device)->tail);
}

static void ferrite_memcpy_start(struct vfio_pci_device *device,
				 iova_t src, iova_t dst, u64 size,
				 u64 count)
{
	/* It is on after ferrite_send_msi(). */
	ferrite_write(device, FERRITE_ADMIN_VECTOR, 0);
	while (count--)
		ferrite_post(device, FERRITE_COPY_MEMORY, src, dst, size);
	ferrite_ring(device);
}

/* Waits for the answers to all commands. */
static int ferrite_memcpy_wait(struct vfio_pci_device *device)
{
	struct ferrite_state *ferrite = to_ferrite_state(device);
	int r = 0;

	for (; ferrite->head != ferrite->tail; ferrite->head++) {
		struct ferrite_completion *done = &ferrite->cq[ferrite->head % FERRITE_DEPTH];
		u32 phase = ~(ferrite->head >> FERRITE_DEPTH_LOG2) & 1;

		/* The device writes this word last. */
		while ((READ_ONCE(done->meta) & 1) != phase)
			VFIO_ASSERT_EQ(ferrite_read(device, FERRITE_ADMIN_STATUS), FERRITE_ADMIN_ENABLED);

		VFIO_ASSERT_EQ(done->tag, (u16)ferrite->head);
		if (done->status) {
			dev_err(device, "command 0x%x ended with status %u\n", done->opcode, done->status);
			r = -1;
		}
	}
	ferrite_write(device, FERRITE_ADMIN_CQ_HEAD, ferrite->head);
	return r;
}

static void ferrite_send_msi(struct vfio_pci_device *device)
{
	/* The vector is raised once it was answered, and stays on: it may come a moment after the answer. */
	ferrite_write(device, FERRITE_ADMIN_VECTOR, FERRITE_VECTOR_ENABLE | device->driver.msi);
	ferrite_post(device, FERRITE_ECHO, 0, 0, 0);
	ferrite_ring(device);
	VFIO_ASSERT_EQ(ferrite_memcpy_wait(device), 0);
}

static const struct vfio_pci_driver_ops ferrite_ops = {
	.name = "ferrite",
	.probe = ferrite_probe,
	.init = ferrite_init,
	.remove = ferrite_remove,
	.memcpy_start = ferrite_memcpy_start,
	.memcpy_wait = ferrite_memcpy_wait,
	.send_msi = ferrite_send_msi,
};

void __real_vfio_pci_driver_probe(struct vfio_pci_device *device);
void __wrap_vfio_pci_driver_probe(struct vfio_pci_device *device);

void __wrap_vfio_pci_driver_probe(struct vfio_pci_device *device)
{
	if (ferrite_probe(device))
		__real_vfio_pci_driver_probe(device);
	else
		device->driver.ops = &ferrite_ops;
}
