// SPDX-License-Identifier: GPL-2.0

//! Handlers of the commands about contexts of receive side scaling, and about filters.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    self,
    FilterAction,
    QuerySteering,
    QuerySteeringDone,
    RemoveFilter,
    RemoveRss,
    RssHash,
    RssTable,
    RssTransform,
    SetFilter,
    SetRss,
    MAX_RSS_TABLE, //
};
use ferrite_abi::regs::Features;
use ferrite_abi::wire::U16;

use super::{
    zero,
    Call,
    Handler,
    Named, //
};
use crate::flow::Pattern;
use crate::rss::{
    Hashing,
    Rss, //
};
use crate::steering::{
    Filter,
    MAX_CONTEXTS,
    MAX_FILTERS, //
};

impl Handler for SetRss {
    const NAMES: Named = Named::Ethernet;
    const CHANGES: bool = true;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, data: &mut RssTable) -> Result<(), Status> {
        let hash = RssHash(self.hash.get());
        let context = self.context.get();
        let function = call.function()?;
        if hash == RssHash(0) {
            return match function.port.steering.remove_context(context) {
                // There is nothing to turn off.
                Err(Status::BAD_STATE) if context == 0 => Ok(()),
                result => result,
            };
        }
        let entries = usize::from(self.entries.get());
        let hashing = Hashing::new(hash, self.fields, RssTransform(self.transform.get()))
            .filter(|_| entries.is_power_of_two() && entries <= MAX_RSS_TABLE)
            .ok_or(Status::INVALID_FIELD)?;
        let table = data.queues.iter().take(entries);
        let rss = Rss::new(hashing, data.key, table.map(|queue| queue.get()).collect());
        let queues = function.rx.len();
        function.port.steering.set_context(context, rss, queues)
    }
}

impl Handler for RemoveRss {
    const NAMES: Named = Named::Ethernet;
    const NEEDS: Features = Features::RSS_CONTEXTS;
    const CHANGES: bool = true;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let steering = &mut call.function()?.port.steering;
        steering.remove_context(self.context.get())
    }
}

impl Handler for SetFilter {
    const NAMES: Named = Named::Ethernet;
    const NEEDS: Features = Features::FILTERS;
    const CHANGES: bool = true;

    fn handle(&self, call: &mut Call<'_>, data: &mut cmd::Filter) -> Result<(), Status> {
        let pattern = Pattern::new(data.key, data.mask).ok_or(Status::INVALID_FIELD)?;
        let filter = Filter {
            location: self.location.get(),
            action: FilterAction(self.action.get()),
            queue: self.queue.get(),
            context: self.context.get(),
            pattern,
        };
        let function = call.function()?;
        let queues = function.rx.len();
        function.port.steering.set_filter(filter, queues)
    }
}

impl Handler for RemoveFilter {
    const NAMES: Named = Named::Ethernet;
    const NEEDS: Features = Features::FILTERS;
    const CHANGES: bool = true;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let steering = &mut call.function()?.port.steering;
        steering.remove_filter(self.location.get())
    }
}

impl Handler for QuerySteering {
    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<QuerySteeringDone, Status> {
        let (contexts, filters) = call.function()?.port.steering.counts();
        Ok(QuerySteeringDone {
            max_contexts: U16::new(MAX_CONTEXTS),
            max_filters: U16::new(MAX_FILTERS),
            contexts: U16::new(contexts),
            filters: U16::new(filters),
        })
    }
}
