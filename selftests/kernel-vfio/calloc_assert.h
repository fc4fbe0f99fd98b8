/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The library of the VFIO selftests in Linux 7.2.12 calls calloc_assert(), which nothing there defines: stable took the
 * calls and left the function. The programs are compiled with -include of this until it is there.
 */
#ifndef FERRITE_CALLOC_ASSERT_H
#define FERRITE_CALLOC_ASSERT_H

#include <stdio.h>
#include <stdlib.h>

static inline void *calloc_assert(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (!memory) {
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	return memory;
}

#endif
