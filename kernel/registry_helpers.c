// SPDX-License-Identifier: GPL-2.0

#include <linux/mutex.h>

#include "registry_helpers.h"

static DEFINE_MUTEX(lock);

void ferrite_helper_registry_lock(void)
{
	mutex_lock(&lock);
}

void ferrite_helper_registry_unlock(void)
{
	mutex_unlock(&lock);
}
