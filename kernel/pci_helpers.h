/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions for what C has as macros and inline functions only, which bindgen does not bind: PCI devices.
 */
#ifndef FERRITE_KERNEL_PCI_HELPERS_H
#define FERRITE_KERNEL_PCI_HELPERS_H

#include <linux/pci.h>

struct pci_dev *ferrite_helper_pci_get_vf(struct pci_dev *pf, int index);
int ferrite_helper_device_trylock(struct device *dev);
void ferrite_helper_device_unlock(struct device *dev);

#endif
