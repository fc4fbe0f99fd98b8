// SPDX-License-Identifier: GPL-2.0

#include <linux/device.h>
#include <linux/module.h>
#include <linux/time64.h>

#include "ptp_helpers.h"

static int gettime(struct ptp_clock_info *info, struct timespec64 *time)
{
	struct ferrite_ptp *ptp = container_of(info, struct ferrite_ptp, info);
	u64 nanoseconds = 0;
	int err = ptp->now(ptp, &nanoseconds);

	if (!err)
		*time = ns_to_timespec64(nanoseconds);
	return err;
}

/* The clock runs as it runs. */
static int settime(struct ptp_clock_info *info, const struct timespec64 *time)
{
	return -EOPNOTSUPP;
}

static int adjtime(struct ptp_clock_info *info, s64 delta)
{
	return delta ? -EOPNOTSUPP : 0;
}

static int adjfine(struct ptp_clock_info *info, long scaled_ppm)
{
	return scaled_ppm ? -EOPNOTSUPP : 0;
}

/* NULL if the kernel has no such clocks. */
struct ptp_clock *ferrite_helper_ptp_register(struct ferrite_ptp *ptp, struct device *parent)
{
	struct ptp_clock_info *info = &ptp->info;

	info->owner = THIS_MODULE;
	strscpy(info->name, dev_driver_string(parent), sizeof(info->name));
	info->gettime64 = gettime;
	info->settime64 = settime;
	info->adjtime = adjtime;
	info->adjfine = adjfine;
	return ptp_clock_register(info, parent);
}

void ferrite_helper_ptp_unregister(struct ptp_clock *clock)
{
	ptp_clock_unregister(clock);
}

int ferrite_helper_ptp_index(struct ptp_clock *clock)
{
	return ptp_clock_index(clock);
}
