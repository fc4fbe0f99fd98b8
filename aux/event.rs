// SPDX-License-Identifier: GPL-2.0

//! Events, from the core to whoever subscribed.

use ferrite_abi::event::Event;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};

/// Takes events.
pub trait EventHandler: Send + Sync + 'static {
    /// Takes an event about the function that the handler was subscribed to, in process context.
    ///
    /// Subscribing and unsubscribing wait for handlers to return: a handler must not do either, nor
    /// take a lock that is held around them.
    fn event(&self, event: &Event);
}

struct Entry {
    key: u64,
    handler: Arc<dyn EventHandler>,
}

struct List {
    next: u64,
    entries: KVec<Entry>,
}

/// Who subscribed to the events about one function.
#[pin_data]
pub struct Subscribers {
    #[pin]
    list: Mutex<List>,
}

impl Subscribers {
    /// Returns an empty list.
    pub fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            list <- new_mutex!(List { next: 0, entries: KVec::new() }, "ferrite_subscribers"),
        })
    }

    /// Passes an event on to all of them. May sleep.
    pub fn deliver(&self, event: &Event) {
        for entry in &self.list.lock().entries {
            entry.handler.event(event);
        }
    }

    pub(crate) fn add(self: Arc<Self>, handler: Arc<dyn EventHandler>) -> Result<Subscription> {
        let key = {
            let mut list = self.list.lock();
            let key = list.next;
            list.entries.push(Entry { key, handler }, GFP_KERNEL)?;
            list.next += 1;
            key
        };
        Ok(Subscription {
            subscribers: self,
            key,
        })
    }
}

/// A handler stays subscribed for as long as this lives. Dropping it waits for the handler to
/// return.
pub struct Subscription {
    subscribers: Arc<Subscribers>,
    key: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.subscribers
            .list
            .lock()
            .entries
            .retain(|entry| entry.key != self.key);
    }
}

#[kunit_tests(ferrite_aux_event)]
mod tests {
    use super::*;
    use kernel::sync::atomic::{
        Atomic,
        Relaxed, //
    };

    struct Count(Atomic<u32>);

    impl EventHandler for Count {
        fn event(&self, _event: &Event) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn events_reach_who_is_subscribed() -> Result {
        let subscribers = Arc::pin_init(Subscribers::new(), GFP_KERNEL)?;
        let first = Arc::new(Count(Atomic::new(0)), GFP_KERNEL)?;
        let second = Arc::new(Count(Atomic::new(0)), GFP_KERNEL)?;
        let event = Event::default();

        subscribers.deliver(&event);
        let subscription = subscribers.clone().add(first.clone())?;
        let _other = subscribers.clone().add(second.clone())?;
        subscribers.deliver(&event);
        drop(subscription);
        subscribers.deliver(&event);
        assert_eq!(first.0.load(Relaxed), 1);
        assert_eq!(second.0.load(Relaxed), 2);
        Ok(())
    }
}
