// SPDX-License-Identifier: GPL-2.0

#include "devlink_helpers.h"

struct devlink *ferrite_helper_devlink_alloc(const struct devlink_ops *ops, size_t priv_size, struct device *dev)
{
	return devlink_alloc(ops, priv_size, dev);
}
