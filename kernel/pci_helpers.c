// SPDX-License-Identifier: GPL-2.0

#include "pci_helpers.h"

struct pci_dev *ferrite_helper_pci_get_vf(struct pci_dev *pf, int index)
{
	struct pci_dev *vf = NULL;

	while ((vf = pci_get_device(pf->vendor, PCI_ANY_ID, vf))) {
		if (vf->is_virtfn && pci_physfn(vf) == pf && pci_iov_vf_id(vf) == index)
			break;
	}
	return vf;
}

int ferrite_helper_device_trylock(struct device *dev)
{
	return device_trylock(dev);
}

void ferrite_helper_device_unlock(struct device *dev)
{
	device_unlock(dev);
}
