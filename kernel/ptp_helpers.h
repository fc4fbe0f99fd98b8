/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions for what C has as macros and inline functions only, which bindgen does not bind: clocks of devices.
 */
#ifndef FERRITE_KERNEL_PTP_HELPERS_H
#define FERRITE_KERNEL_PTP_HELPERS_H

#include <linux/device.h>
#include <linux/ptp_clock_kernel.h>

struct ferrite_ptp {
	struct ptp_clock_info info;
	int (*now)(struct ferrite_ptp *ptp, u64 *nanoseconds);
};

struct ptp_clock *ferrite_helper_ptp_register(struct ferrite_ptp *ptp, struct device *parent);
void ferrite_helper_ptp_unregister(struct ptp_clock *clock);
int ferrite_helper_ptp_index(struct ptp_clock *clock);

#endif
