/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel's own tests want of liburing, and that of Debian 13 (2.9) has not: receiving without copying. It comes before the
 * library's own header, which it includes.
 */
#ifndef FERRITE_LIBURING_H
#define FERRITE_LIBURING_H

/* That of the tested kernel, in place of what the library has of an older one. */
#include <linux/io_uring.h>

#include_next <liburing.h>

/* Where memory is given back. */
struct io_uring_zcrx_rq {
	__u32 *khead;
	__u32 *ktail;
	__u32 rq_tail;
	unsigned int ring_entries;
	struct io_uring_zcrx_rqe *rqes;
};

static inline int io_uring_register_ifq(struct io_uring *ring, struct io_uring_zcrx_ifq_reg *reg)
{
	return io_uring_register(ring->ring_fd, IORING_REGISTER_ZCRX_IFQ, reg, 1);
}

#endif
