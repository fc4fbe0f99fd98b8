/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions for what C has as macros and inline functions only, which bindgen does not bind: VFIO devices.
 */
#ifndef FERRITE_KERNEL_VFIO_HELPERS_H
#define FERRITE_KERNEL_VFIO_HELPERS_H

#include <linux/vfio_pci_core.h>

unsigned long ferrite_helper_vfio_bar_pfn(struct vfio_pci_core_device *core, struct vm_fault *vmf);
unsigned long ferrite_helper_vfio_page_pfn(struct page *page);

#endif
