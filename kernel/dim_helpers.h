/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions for what C has as macros and inline functions only, which bindgen does not bind: dynamic interrupt
 * moderation.
 */
#ifndef FERRITE_KERNEL_DIM_HELPERS_H
#define FERRITE_KERNEL_DIM_HELPERS_H

#include <linux/dim.h>

void ferrite_helper_dim_init(struct dim *dim, work_func_t work);
void ferrite_helper_dim_sample(struct dim *dim, u16 events, u64 packets, u64 bytes);
void ferrite_helper_dim_applied(struct dim *dim);

#endif
