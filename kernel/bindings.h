/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads for kernel_ext. Only what these headers declare themselves is bound, and the types that it
 * refers to: list the header that declares a thing, not one that includes it. What kernel::bindings has is not
 * wanted a second time.
 */

#include <linux/netlink.h>
#include <net/devlink.h>
#include <uapi/linux/devlink.h>

#include "devlink_helpers.h"
