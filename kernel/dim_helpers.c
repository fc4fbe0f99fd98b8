// SPDX-License-Identifier: GPL-2.0

#include "dim_helpers.h"

void ferrite_helper_dim_init(struct dim *dim, work_func_t work)
{
	*dim = (struct dim) { .mode = DIM_CQ_PERIOD_MODE_START_FROM_EQE };
	INIT_WORK(&dim->work, work);
}

/* To be called by one context at a time. */
void ferrite_helper_dim_sample(struct dim *dim, u16 events, u64 packets, u64 bytes)
{
	struct dim_sample sample = {};

	dim_update_sample(events, packets, bytes, &sample);
	net_dim(dim, &sample);
}

/* Lets measuring begin anew. Called by the work, until when net_dim() but looks at the state. */
void ferrite_helper_dim_applied(struct dim *dim)
{
	dim->state = DIM_START_MEASURE;
}
