// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of the wrappers for networking: a device whose packets go into a FIFO and come out of
//! it in the poll.

use crate::{
    bindings,
    completion::Completion,
    napi::{
        Context,
        Napi,
        Poller,
        Rearm, //
    },
    netdev::{
        lock_rtnl,
        Builder,
        Device,
        Locks,
        Operations,
        Registration,
        TxQueue, //
    },
    skb::{
        self,
        Packet,
        SkBuff, //
    },
    testing::TestDevice, //
};
use core::ptr::NonNull;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
};

const QUEUES: u16 = 2;
const CAPACITY: usize = 4;
/// Ether type for experiments: packets of others are not counted.
const ETHER_TYPE: [u8; 2] = [0x88, 0xb5];

/// What the tests want to know.
#[pin_data]
struct Seen {
    sent: Atomic<u32>,
    bytes: Atomic<u32>,
    events: Atomic<usize>,
    drops: Atomic<u32>,
    #[pin]
    polled: Completion,
    #[pin]
    worked: Completion,
}

impl Seen {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                sent: Atomic::new(0),
                bytes: Atomic::new(0),
                events: Atomic::new(0),
                drops: Atomic::new(0),
                polled <- Completion::new(),
                worked <- Completion::new(),
            }),
            GFP_KERNEL,
        )
    }
}

struct Loop {
    arrivals: skb::Arrivals,
    seen: Arc<Seen>,
}

/// There is always an interrupt: the one that `start_xmit` plays.
struct Never;

impl Rearm for Never {
    fn rearm(&self) -> bool {
        false
    }
}

impl Poller for Loop {
    type Rearm = Never;

    fn poll(&mut self, cx: &Context<'_>) -> u32 {
        while self.arrivals.front_end().is_some() {
            let Some(Packet::Skb(skb)) = self.arrivals.pop() else {
                break;
            };
            if skb.is_of(ETHER_TYPE) {
                self.seen.bytes.fetch_add(skb.len(), Relaxed);
                self.seen.sent.fetch_add(1, Relaxed);
                self.seen.polled.complete();
            }
            skb.consume(cx);
        }
        0
    }
}

struct Sender {
    departures: skb::Departures,
    scheduler: crate::napi::Scheduler,
}

#[pin_data(PinnedDrop)]
struct Port {
    parent: Arc<TestDevice>,
    seen: Arc<Seen>,
    #[pin]
    napi: Mutex<Option<Napi<Loop>>>,
}

#[pinned_drop]
impl PinnedDrop for Port {
    fn drop(self: Pin<&mut Self>) {
        self.seen.drops.fetch_add(1, Relaxed);
    }
}

#[vtable]
impl Operations for Port {
    type TxQueue = Sender;

    fn open(device: &Device<Self>, locks: &Locks) -> Result {
        let lock = locks.device_lock();
        let port = device.data();
        let (departures, arrivals) = skb::flight(port.parent.device(), CAPACITY)?;
        let mut napi = Napi::new(lock, 0, |instance| {
            assert_eq!(instance.device().tx_queues(), QUEUES);
            let seen = port.seen.clone();
            Ok((Loop { arrivals, seen }, Never))
        })?;
        napi.bind(lock, 0)?;
        napi.enable(lock);
        let sender = Sender {
            departures,
            scheduler: napi.scheduler(),
        };
        *port.napi.lock() = Some(napi.keep());
        if let Some(mut queue) = device.lock_tx(0) {
            *queue = Some(sender);
        }
        device.set_carrier(true);
        device.wake_all_queues();
        Ok(())
    }

    fn stop(device: &Device<Self>, locks: &Locks) {
        device.set_carrier(false);
        let sender = device.lock_tx(0).and_then(|mut queue| queue.take());
        if let Some(napi) = device.data().napi.lock().take() {
            napi.delete(locks.device_lock());
        }
        drop(sender);
    }

    fn start_xmit(
        _device: &Device<Self>,
        sender: &mut Sender,
        _queue: TxQueue<'_>,
        skb: SkBuff,
    ) -> Result<(), SkBuff> {
        sender
            .departures
            .send(skb, |segments| segments.map(|segment| segment.len).sum())?;
        sender.scheduler.schedule();
        Ok(())
    }

    fn work(device: &Device<Self>, _locks: &Locks, events: usize) {
        let seen = &device.data().seen;
        seen.events.fetch_add(events, Relaxed);
        seen.worked.complete();
    }
}

fn port(parent: Arc<TestDevice>, seen: Arc<Seen>) -> impl PinInit<Port, Error> {
    try_pin_init!(Port {
        parent,
        seen,
        napi <- new_mutex!(None),
    }? Error)
}

fn register(seen: &Arc<Seen>) -> Result<Registration<Port>> {
    let parent = Arc::new(TestDevice::new(c"ferrite-netdev")?, GFP_KERNEL)?;
    let port = port(parent.clone(), seen.clone());
    Builder::new(parent.device(), QUEUES, port)?
        .mac([0; 6])
        .mtu(1500, 68, 9000)
        .register()
}

fn open(registration: &Registration<Port>) -> Result {
    let _rtnl = lock_rtnl();
    // SAFETY: the device is registered, and the RTNL is held.
    kernel::error::to_result(unsafe {
        bindings::dev_open(registration.device().as_ptr(), core::ptr::null_mut())
    })
}

fn close(registration: &Registration<Port>) {
    let _rtnl = lock_rtnl();
    // SAFETY: the device is registered, and the RTNL is held.
    unsafe { bindings::dev_close(registration.device().as_ptr()) };
}

/// Sends a packet of `len` bytes on a queue, past what queues packets.
fn send(registration: &Registration<Port>, queue: u16, len: u32) -> Result {
    let device = registration.device().as_ptr();
    // SAFETY: the device is registered. The packet is new, has room for as many bytes, all of which
    // are written, and is given away.
    unsafe {
        let skb = bindings::__netdev_alloc_skb(device, len, kernel::bindings::GFP_KERNEL);
        let skb = NonNull::new(skb).ok_or(ENOMEM)?.as_ptr();
        let data = bindings::skb_put(skb, len).cast::<u8>();
        data.write_bytes(0, len as usize);
        data.add(12).cast::<[u8; 2]>().write(ETHER_TYPE);
        bindings::__dev_direct_xmit(skb, queue);
    }
    Ok(())
}

#[kunit_tests(ferrite_netdev)]
mod tests {
    use super::*;

    #[test]
    fn packets_go_from_sending_to_the_poll() -> Result {
        let seen = Seen::new()?;
        let registration = register(&seen)?;
        assert!(!registration.device().is_running());
        open(&registration)?;
        assert!(registration.device().is_running());
        assert!(registration.device().has_carrier());
        for _ in 0..10 {
            send(&registration, 0, 100)?;
            assert!(seen.polled.wait_timeout(2000));
        }
        close(&registration);
        assert_eq!(seen.sent.load(Relaxed), 10);
        assert_eq!(seen.bytes.load(Relaxed), 1000);
        Ok(())
    }

    #[test]
    fn queue_without_sender_drops() -> Result {
        let seen = Seen::new()?;
        let registration = register(&seen)?;
        open(&registration)?;
        send(&registration, 1, 100)?;
        send(&registration, 0, 100)?;
        assert!(seen.polled.wait_timeout(2000));
        close(&registration);
        assert_eq!(seen.sent.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn device_goes_when_the_last_reference_does() -> Result {
        let seen = Seen::new()?;
        let registration = register(&seen)?;
        open(&registration)?;
        let device = registration.device().clone();
        // Takes it down, too.
        drop(registration);
        assert!(!device.is_running());
        assert_eq!(seen.drops.load(Relaxed), 0);
        drop(device);
        assert_eq!(seen.drops.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn device_that_was_never_registered_goes_too() -> Result {
        let seen = Seen::new()?;
        let parent = Arc::new(TestDevice::new(c"ferrite-netdev")?, GFP_KERNEL)?;
        let port = port(parent.clone(), seen.clone());
        drop(Builder::new(parent.device(), QUEUES, port)?);
        assert_eq!(seen.drops.load(Relaxed), 1);
        let failing = Builder::<Port>::new(parent.device(), QUEUES, Err(EINVAL));
        assert!(failing.is_err());
        Ok(())
    }

    #[test]
    fn scheduler_outlives_its_instance() -> Result {
        let seen = Seen::new()?;
        let registration = register(&seen)?;
        open(&registration)?;
        let scheduler = {
            let napi = registration.device().data();
            let napi = napi.napi.lock();
            napi.as_ref().ok_or(EINVAL)?.scheduler()
        };
        scheduler.schedule();
        close(&registration);
        scheduler.schedule();
        drop(registration);
        scheduler.schedule();
        assert_eq!(seen.drops.load(Relaxed), 0);
        drop(scheduler);
        assert_eq!(seen.drops.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn work_runs_with_what_was_asked_for() -> Result {
        let seen = Seen::new()?;
        let registration = register(&seen)?;
        registration.device().schedule_work(5);
        assert!(seen.worked.wait_timeout(2000));
        assert_eq!(seen.events.load(Relaxed), 5);
        Ok(())
    }

    #[test]
    fn fifo_refuses_what_has_no_room() -> Result {
        let parent = TestDevice::new(c"ferrite-netdev")?;
        assert!(skb::flight(parent.device(), 3).is_err());
        let (mut departures, mut arrivals) = skb::flight(parent.device(), CAPACITY)?;
        for round in 0..3_u32 {
            for n in 0..CAPACITY as u32 {
                let end = round * 10 + n;
                let sent = departures.send(SkBuff::for_test(60)?, |segments| {
                    assert_eq!(segments.count(), 1);
                    end
                });
                assert!(sent.is_ok());
            }
            assert!(departures.send(SkBuff::for_test(60)?, |_| 0).is_err());
            for n in 0..CAPACITY as u32 {
                assert_eq!(arrivals.front_end(), Some(round * 10 + n));
                assert!(arrivals.pop().is_some());
            }
            assert!(arrivals.front_end().is_none());
            assert!(arrivals.pop().is_none());
        }
        // One is under way when both ends go.
        assert!(departures.send(SkBuff::for_test(60)?, |_| 0).is_ok());
        Ok(())
    }
}
