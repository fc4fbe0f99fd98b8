/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions for what C has as macros and inline functions only, which bindgen does not bind: devlink.
 */
#ifndef FERRITE_KERNEL_DEVLINK_HELPERS_H
#define FERRITE_KERNEL_DEVLINK_HELPERS_H

#include <net/devlink.h>

struct devlink *ferrite_helper_devlink_alloc(const struct devlink_ops *ops, size_t priv_size, struct device *dev);
void ferrite_helper_devlink_trap_report(struct devlink *devlink, const void *frame, size_t len, void *context,
					struct devlink_port *port);

#endif
