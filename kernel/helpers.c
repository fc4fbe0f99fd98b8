// SPDX-License-Identifier: GPL-2.0

#include "helpers.h"

dma_addr_t ferrite_helper_dma_map_single(struct device *dev, void *ptr, size_t size,
					 enum dma_data_direction dir)
{
	return dma_map_single(dev, ptr, size, dir);
}

dma_addr_t ferrite_helper_dma_map_page(struct device *dev, struct page *page, size_t offset, size_t size,
				       enum dma_data_direction dir)
{
	return dma_map_page(dev, page, offset, size, dir);
}

int ferrite_helper_dma_mapping_error(struct device *dev, dma_addr_t addr)
{
	return dma_mapping_error(dev, addr);
}

void ferrite_helper_dma_unmap_single(struct device *dev, dma_addr_t addr, size_t size,
				     enum dma_data_direction dir)
{
	dma_unmap_single(dev, addr, size, dir);
}

void ferrite_helper_dma_unmap_page(struct device *dev, dma_addr_t addr, size_t size,
				   enum dma_data_direction dir)
{
	dma_unmap_page(dev, addr, size, dir);
}

void ferrite_helper_dma_sync_for_cpu(struct device *dev, dma_addr_t addr, size_t size,
				     enum dma_data_direction dir)
{
	dma_sync_single_for_cpu(dev, addr, size, dir);
}

void ferrite_helper_dma_sync_for_device(struct device *dev, dma_addr_t addr, size_t size,
					enum dma_data_direction dir)
{
	dma_sync_single_for_device(dev, addr, size, dir);
}

struct devlink *ferrite_helper_devlink_alloc(const struct devlink_ops *ops, size_t priv_size, struct device *dev)
{
	return devlink_alloc(ops, priv_size, dev);
}
