// SPDX-License-Identifier: GPL-2.0

//! XDP programs: coming and going, and what they do with received packets.
//!
//! While there is one, receive buffers have the room in front of the packet that it may use, and are
//! mapped for sending as well; so the port goes down and up when the first comes and the last goes,
//! and not in between. What a program sends back shares the transmit queue of its pair with the stack.

use crate::{
    logic::rx::PacketInfo,
    port::{
        geometry,
        Config,
        Port, //
    },
    rx::{
        describe,
        Pass, //
    },
    stats::PairStats, //
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
};
use kernel_ext::{
    devlink::ExtAck,
    napi::{
        Context,
        Instance, //
    },
    netdev::{
        Device,
        Locks, //
    },
    page_pool::{
        PagePool,
        Received, //
    },
    xdp::{
        flush_redirects,
        Buff,
        Frame,
        Hints,
        Program,
        Runner,
        RxQueue,
        Verdict, //
    },
};

/// Packets that a program may send back in one poll: the budget of one.
const MAX_BOUNCED: usize = 64;

/// Puts a program in place of what there was, or takes it away.
///
/// # Errors
///
/// `EINVAL` if the program cannot do with the packets of the MTU, and those of
/// [`Port::reconfigure`]. It is then as it was before.
pub(crate) fn setup(
    device: &Device<Port>,
    locks: &Locks,
    program: Option<Program>,
    extack: &mut ExtAck<'_>,
) -> Result {
    let port = device.data().get_ref();
    let config = port.control.lock().config;
    let (mtu, had_one) = (config.mtu, config.xdp);
    let Some(program) = program else {
        drop(port.xdp.replace(None));
        if had_one {
            // The buffers serve as they are if no others can be made.
            let _ = Port::reconfigure(device, locks, |config| config.xdp = false);
        }
        device.update_features(locks);
        return Ok(());
    };
    let wanted = Config {
        xdp: true,
        joins: false,
        ..config
    };
    if !program.takes_fragments() && !geometry(&port.function, &wanted)?.holds(mtu) {
        extack.set(format_args!(
            "packets of MTU {mtu} take several buffers: the program is to be of section xdp.frags"
        ));
        return Err(EINVAL);
    }
    if !had_one {
        // What is joined is no packet that came: the two do not go together.
        Port::reconfigure(device, locks, |config| *config = wanted)?;
    }
    drop(port.xdp.replace(Some(program)));
    device.update_features(locks);
    Ok(())
}

/// Where programs see the packets of a receive queue.
///
/// The queue is dropped, and with that unregistered, after the packets that know of it.
pub(crate) struct Stage {
    /// The packet that is being put together.
    packet: Option<(Buff, PacketInfo)>,
    /// Packets to be sent back.
    bounced: KVec<Frame>,
    /// Whether packets were redirected in this poll.
    redirected: bool,
    queue: RxQueue,
    index: u16,
    device: ARef<Device<Port>>,
    stats: Arc<PairStats>,
}

impl Stage {
    /// Makes that of receive queue `index`, whose buffers come from `pool`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        device: &Device<Port>,
        napi: &Instance,
        index: u16,
        pool: &PagePool,
        stats: &Arc<PairStats>,
    ) -> Result<Self> {
        Ok(Self {
            packet: None,
            bounced: KVec::with_capacity(MAX_BOUNCED, GFP_KERNEL)?,
            redirected: false,
            queue: RxQueue::new(napi, index, pool)?,
            index,
            device: device.into(),
            stats: stats.clone(),
        })
    }

    /// Returns the program to run in this poll.
    #[inline]
    pub(crate) fn program<'a>(&self, cx: &'a Context<'_>) -> Option<Runner<'a>> {
        self.device.data().xdp.get(cx)
    }

    /// Starts a packet.
    #[inline]
    pub(crate) fn start(&mut self, received: Received, info: &PacketInfo) {
        let hints = Hints {
            hash: info.hash,
            vlan: info.vlan,
            timestamp: info.timestamp,
        };
        self.packet = Buff::new(received, &hints).map(|buff| (buff, *info));
    }

    /// Appends to it.
    pub(crate) fn append(&mut self, received: Received) {
        if let Some((mut buff, info)) = self.packet.take() {
            if buff.append(received) {
                self.packet = Some((buff, info));
            } else {
                self.stats.rx_dropped.add(1);
            }
        }
    }

    /// Drops it.
    pub(crate) fn abandon(&mut self) {
        self.packet = None;
    }

    /// Ends it: the program decides. Returns how many bytes were received.
    #[inline]
    pub(crate) fn end(&mut self, cx: &Context<'_>, pass: &Pass<'_>) -> u64 {
        let Some((buff, info)) = self.packet.take() else {
            return 0;
        };
        // The program went while the packet came.
        let Some(program) = pass.program else {
            self.stats.rx_dropped.add(1);
            return 0;
        };
        let len = u64::from(buff.len());
        let stats = &self.stats;
        stats.rx_packets.add(1);
        match buff.run(cx, program, &self.queue) {
            Verdict::Pass(Some(mut skb)) => {
                describe(&mut skb, &info, pass.features, stats);
                cx.receive_built(skb);
            }
            Verdict::Pass(None) => stats.rx_no_memory.add(1),
            Verdict::Transmit(frame) => {
                stats.rx_xdp_tx.add(1);
                // There is room for what a poll receives.
                let _ = self.bounced.push_within_capacity(frame);
            }
            Verdict::Redirected => {
                stats.rx_xdp_redirect.add(1);
                self.redirected = true;
            }
            Verdict::Dropped => stats.rx_xdp_drop.add(1),
            Verdict::Aborted => stats.rx_xdp_aborted.add(1),
        }
        len
    }

    /// Lets packets go that are for others, at the end of a poll.
    #[inline]
    pub(crate) fn finish(&mut self, cx: &Context<'_>) {
        if core::mem::take(&mut self.redirected) {
            flush_redirects(cx);
        }
        if self.bounced.is_empty() {
            return;
        }
        if let Some(mut guard) = self.device.lock_tx(self.index) {
            guard.touch();
            if let Some(sender) = &mut *guard {
                for frame in self.bounced.drain_all() {
                    // What there is no room for is dropped.
                    let _ = sender.send_frame(frame);
                }
                sender.kick();
            }
        }
        self.bounced.clear();
    }
}
