// SPDX-License-Identifier: GPL-2.0

//! The way of a received packet to its queue: filters, then contexts of receive side scaling.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    FilterAction,
    MAX_RSS_TABLE, //
};

use ferrite_abi::mig::FilterRecord;
use ferrite_abi::wire::U16;

use crate::flow::{
    Flow,
    Pattern, //
};
use crate::packet::Ip;
use crate::rss::{
    Rss,
    Scaled, //
};
use crate::save::{
    saved,
    LoadError, //
};

/// Largest number of contexts beside context 0.
pub(crate) const MAX_CONTEXTS: u16 = 32;
/// Number of locations for filters.
pub(crate) const MAX_FILTERS: u16 = 256;

/// A filter that was set.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) location: u16,
    pub(crate) action: FilterAction,
    pub(crate) queue: u16,
    pub(crate) context: u16,
    pub(crate) pattern: Pattern,
}

saved!(Filter {
    location,
    action,
    queue,
    context,
    pattern
});

impl Filter {
    /// Returns the filter as a record of a stream.
    pub(crate) fn record(&self) -> FilterRecord {
        FilterRecord {
            action: U16::new(self.action.0),
            queue: U16::new(self.queue),
            context: U16::new(self.context),
            rsvd: [0; 2],
            key: *self.pattern.key(),
            mask: *self.pattern.mask(),
        }
    }

    /// Makes the filter that a record of a stream tells of.
    pub(crate) fn restore(location: u16, record: &FilterRecord, pattern: Pattern) -> Self {
        Self {
            location,
            action: FilterAction(record.action.get()),
            queue: record.queue.get(),
            context: record.context.get(),
            pattern,
        }
    }

    /// Returns whether it has the arguments that its action takes, and no others.
    fn is_possible(&self) -> bool {
        match self.action {
            FilterAction::DROP => self.queue == 0 && self.context == 0,
            FilterAction::QUEUE => self.context == 0,
            FilterAction::RSS => true,
            _ => false,
        }
    }
}

/// A context of receive side scaling.
#[derive(Debug)]
struct Context {
    number: u16,
    rss: Rss,
}

saved!(Context { number, rss });

/// How a port steers what it receives.
#[derive(Debug, Default)]
pub(crate) struct Steering {
    /// In ascending order of their numbers.
    contexts: Vec<Context>,
    /// In ascending order of their locations.
    filters: Vec<Filter>,
}

saved!(Steering { contexts, filters });

impl Steering {
    /// Decides on a packet. [`None`] if a filter drops it.
    pub(crate) fn decide(&self, ip: Option<&Ip>, frame: &[u8]) -> Option<Scaled> {
        let filter = if self.filters.is_empty() {
            None
        } else {
            let flow = Flow::of(frame, ip);
            self.filters
                .iter()
                .find(|filter| filter.pattern.fits(&flow))
        };
        let Some(filter) = filter else {
            return Some(self.scale(0, ip, frame));
        };
        match filter.action {
            FilterAction::QUEUE => Some(Scaled {
                queue: filter.queue,
                ..self.scale(0, ip, frame)
            }),
            FilterAction::RSS => {
                let scaled = self.scale(filter.context, ip, frame);
                Some(Scaled {
                    queue: scaled.queue.saturating_add(filter.queue),
                    ..scaled
                })
            }
            _ => None,
        }
    }

    fn scale(&self, context: u16, ip: Option<&Ip>, frame: &[u8]) -> Scaled {
        self.context(context)
            .map_or_else(Scaled::default, |rss| rss.scale(ip, frame))
    }

    /// Returns the contexts with their numbers.
    pub(crate) fn contexts(&self) -> impl Iterator<Item = (u16, &Rss)> {
        self.contexts
            .iter()
            .map(|context| (context.number, &context.rss))
    }

    /// Returns the filters.
    pub(crate) fn filters(&self) -> &[Filter] {
        &self.filters
    }

    fn find(&self, context: u16) -> Result<usize, usize> {
        self.contexts
            .binary_search_by_key(&context, |context| context.number)
    }

    fn context(&self, number: u16) -> Option<&Rss> {
        Some(&self.contexts[self.find(number).ok()?].rss)
    }

    /// Returns how many contexts there are beside context 0, and how many filters.
    pub(crate) fn counts(&self) -> (u16, u16) {
        let contexts = self.contexts.iter().filter(|context| context.number != 0);
        // CAST: both have an upper bound of 16 bits.
        (contexts.count() as u16, self.filters.len() as u16)
    }

    /// Sets a context of a function with `queues` RX queues.
    pub(crate) fn set_context(
        &mut self,
        number: u16,
        rss: Rss,
        queues: usize,
    ) -> Result<(), Status> {
        if number > MAX_CONTEXTS {
            return Err(Status::NO_RESOURCE);
        }
        let added = self
            .filters
            .iter()
            .filter(|filter| filter.action == FilterAction::RSS && filter.context == number)
            .map(|filter| filter.queue)
            .max()
            .unwrap_or_default();
        if usize::from(rss.highest_queue()) + usize::from(added) >= queues {
            return Err(Status::INVALID_FIELD);
        }
        match self.find(number) {
            Ok(at) => self.contexts[at].rss = rss,
            Err(at) => self.contexts.insert(at, Context { number, rss }),
        }
        Ok(())
    }

    /// Takes a context away.
    pub(crate) fn remove_context(&mut self, number: u16) -> Result<(), Status> {
        let at = self.find(number).map_err(|_| Status::BAD_STATE)?;
        if number != 0 && self.filters.iter().any(|filter| filter.context == number) {
            return Err(Status::IN_USE);
        }
        self.contexts.remove(at);
        Ok(())
    }

    /// Sets the filter at its location, for a function with `queues` RX queues.
    pub(crate) fn set_filter(&mut self, filter: Filter, queues: usize) -> Result<(), Status> {
        if filter.location >= MAX_FILTERS {
            return Err(Status::NO_RESOURCE);
        }
        if !filter.is_possible() {
            return Err(Status::INVALID_FIELD);
        }
        if filter.context != 0 && self.context(filter.context).is_none() {
            return Err(Status::BAD_STATE);
        }
        if self.highest_queue(&filter) >= queues {
            return Err(Status::INVALID_FIELD);
        }
        match self.find_filter(filter.location) {
            Ok(at) => self.filters[at] = filter,
            Err(at) => self.filters.insert(at, filter),
        }
        Ok(())
    }

    /// Removes a filter.
    pub(crate) fn remove_filter(&mut self, location: u16) -> Result<(), Status> {
        let at = self.find_filter(location).map_err(|_| Status::BAD_STATE)?;
        self.filters.remove(at);
        Ok(())
    }

    fn find_filter(&self, location: u16) -> Result<usize, usize> {
        self.filters
            .binary_search_by_key(&location, |filter| filter.location)
    }

    /// Returns the highest queue that a filter can lead to.
    fn highest_queue(&self, filter: &Filter) -> usize {
        let scaled = match filter.action {
            FilterAction::RSS => self.context(filter.context).map(Rss::highest_queue),
            _ => None,
        };
        usize::from(filter.queue) + usize::from(scaled.unwrap_or_default())
    }

    /// Checks what was loaded into a function with `queues` RX queues.
    pub(crate) fn check(&self, queues: usize) -> Result<(), LoadError> {
        let ascends = |numbers: &[u16]| numbers.windows(2).all(|pair| pair[0] < pair[1]);
        let numbers: Vec<_> = self.contexts.iter().map(|context| context.number).collect();
        if !ascends(&numbers) || numbers.last().is_some_and(|last| *last > MAX_CONTEXTS) {
            return Err(LoadError::Invalid("RSS contexts"));
        }
        let locations: Vec<_> = self.filters.iter().map(|filter| filter.location).collect();
        if !ascends(&locations) || locations.last().is_some_and(|last| *last >= MAX_FILTERS) {
            return Err(LoadError::Invalid("locations of filters"));
        }
        for context in &self.contexts {
            if context.rss.entries() > MAX_RSS_TABLE {
                return Err(LoadError::Invalid("size of the RSS table"));
            }
            if usize::from(context.rss.highest_queue()) >= queues {
                return Err(LoadError::Invalid("queue in the RSS table"));
            }
        }
        for filter in &self.filters {
            let has_context = filter.context == 0 || self.context(filter.context).is_some();
            if !filter.is_possible() || !has_context || self.highest_queue(filter) >= queues {
                return Err(LoadError::Invalid("filter"));
            }
        }
        Ok(())
    }
}
