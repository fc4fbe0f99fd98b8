// SPDX-License-Identifier: GPL-2.0
/*
 * Exports the Rust symbols of ferrite_aux.ko, as the kernel's rust/exports.c does for its own crates. They carry no
 * meaning for C: the type is a lie that the linker does not care about.
 */

#include <linux/export.h>

#define EXPORT_SYMBOL_FERRITE(sym) extern int sym; EXPORT_SYMBOL_GPL(sym)

#include "exports_generated.h"
