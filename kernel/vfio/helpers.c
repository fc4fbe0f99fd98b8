// SPDX-License-Identifier: GPL-2.0

#include "helpers.h"

/* The page of a BAR that an access to a mapping of it, made by vfio_pci_core_mmap(), is for. */
unsigned long ferrite_helper_vfio_bar_pfn(struct vfio_pci_core_device *core, struct vm_fault *vmf)
{
	const unsigned int shift = VFIO_PCI_OFFSET_SHIFT - PAGE_SHIFT;
	struct vm_area_struct *vma = vmf->vma;
	unsigned long page = vma->vm_pgoff & ((1UL << shift) - 1);

	page += (vmf->address - vma->vm_start) >> PAGE_SHIFT;
	return (pci_resource_start(core->pdev, vma->vm_pgoff >> shift) >> PAGE_SHIFT) + page;
}

unsigned long ferrite_helper_vfio_page_pfn(struct page *page)
{
	return page_to_pfn(page);
}
