/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads for kernel_vfio, by the rules of ../bindings.h.
 */

#include <linux/interval_tree.h>
#include <linux/iova_bitmap.h>
#include <linux/vfio.h>
#include <linux/vfio_pci_core.h>
#include <uapi/linux/vfio.h>

#include "helpers.h"
