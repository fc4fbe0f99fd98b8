/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A lock for what is in a static variable: Rust cannot initialize one at compile time.
 */
#ifndef FERRITE_KERNEL_REGISTRY_HELPERS_H
#define FERRITE_KERNEL_REGISTRY_HELPERS_H

void ferrite_helper_registry_lock(void);
void ferrite_helper_registry_unlock(void);

#endif
