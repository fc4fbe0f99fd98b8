/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions for what C has as macros and inline functions only, which bindgen does not bind.
 */
#ifndef FERRITE_KERNEL_HELPERS_H
#define FERRITE_KERNEL_HELPERS_H

#include <linux/dma-mapping.h>
#include <net/devlink.h>

dma_addr_t ferrite_helper_dma_map_single(struct device *dev, void *ptr, size_t size,
					 enum dma_data_direction dir);
dma_addr_t ferrite_helper_dma_map_page(struct device *dev, struct page *page, size_t offset, size_t size,
				       enum dma_data_direction dir);
int ferrite_helper_dma_mapping_error(struct device *dev, dma_addr_t addr);
void ferrite_helper_dma_unmap_single(struct device *dev, dma_addr_t addr, size_t size,
				     enum dma_data_direction dir);
void ferrite_helper_dma_unmap_page(struct device *dev, dma_addr_t addr, size_t size,
				   enum dma_data_direction dir);
void ferrite_helper_dma_sync_for_cpu(struct device *dev, dma_addr_t addr, size_t size,
				     enum dma_data_direction dir);
void ferrite_helper_dma_sync_for_device(struct device *dev, dma_addr_t addr, size_t size,
					enum dma_data_direction dir);

struct devlink *ferrite_helper_devlink_alloc(const struct devlink_ops *ops, size_t priv_size, struct device *dev);

#endif
