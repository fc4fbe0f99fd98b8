// SPDX-License-Identifier: GPL-2.0

//! The control queue of a virtio-net device (5.1.6.5 of the virtio specification).

use ferrite_abi::cmd::{
    MAX_RX_FILTER,
    RSS_KEY, //
};
use ferrite_abi::event::QueueSyndrome;

use super::queue::{
    Chain,
    Virtqueue, //
};
use super::spec::{
    ctrl,
    feature, //
};
use super::steering::Steering;
use super::VLANS;
use crate::device::Device;
use crate::host::Host;
use crate::mac::Mac;
use crate::slot::Slot;

/// Features of receiving that the driver can turn on and off.
pub(crate) const OFFLOADS: u64 = feature::GUEST_CSUM
    | feature::GUEST_TSO4
    | feature::GUEST_TSO6
    | feature::GUEST_USO4
    | feature::GUEST_USO6;

/// Commands of one queue after which it is another queue's turn.
const TURN: usize = 64;
/// Longest command, header included: far beyond the largest table of addresses that is worth
/// looking at.
const MAX_COMMAND: usize = 16 * 1024;

/// What is left to read of a command.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.first_chunk().copied()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads a truth value.
    fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// Reads a key, whose length comes first.
    fn key(&mut self) -> Option<[u8; RSS_KEY]> {
        let length = usize::from(self.u8()?);
        let mut key = [0; RSS_KEY];
        key.get_mut(..length)?.copy_from_slice(self.bytes(length)?);
        Some(key)
    }

    /// Reads a table of addresses: a number of them, and them.
    fn addresses(&mut self) -> Option<Vec<Mac>> {
        let count = self.u32()? as usize;
        let bytes = self.bytes(count.checked_mul(size_of::<Mac>())?)?;
        let macs = bytes.chunks_exact(size_of::<Mac>());
        Some(
            macs.filter_map(|mac| mac.first_chunk().copied().map(Mac))
                .collect(),
        )
    }
}

impl Device {
    /// Carries out the commands of a control queue, as far as its turn goes.
    pub(super) fn poll_control(&mut self, host: &mut dyn Host, slot: Slot, index: u16) {
        let Some(virtio) = self.virtio_mut(slot) else {
            return;
        };
        let place = virtio.queues.get_mut(usize::from(index));
        let Some(mut queue) = place.and_then(|place| place.take_if(|queue| queue.runs())) else {
            return;
        };
        let result = self.control_turn(host, slot, index, &mut queue);
        if let Some(virtio) = self.virtio_mut(slot) {
            virtio.queues[usize::from(index)] = Some(queue);
        }
        match result {
            Ok(true) => self.work.add(slot, 0, 1 << (index / 2)),
            Ok(false) => {}
            Err(syndrome) => self.break_virtqueue(host, slot, index, syndrome),
        }
    }

    /// Returns whether there are more commands.
    fn control_turn(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        index: u16,
        queue: &mut Virtqueue,
    ) -> Result<bool, QueueSyndrome> {
        let mut chain = Chain::default();
        for _ in 0..TURN {
            let mut command = Vec::new();
            let taken = self.with_dma(host, slot, index, |dma| {
                if !queue.pop(dma, &mut chain)? {
                    return Ok(None);
                }
                if chain.writable() == 0 {
                    return Err(QueueSyndrome::BAD_CHAIN);
                }
                if chain.readable() > MAX_COMMAND as u64 {
                    return Ok(Some(false));
                }
                command.resize(chain.readable() as usize, 0);
                Ok(Some(chain.gather(dma, &mut command).is_ok()))
            });
            let Some(readable) = taken.unwrap_or(Ok(None))? else {
                let parked = self.with_dma(host, slot, index, |dma| queue.park(dma));
                return Ok(!parked.unwrap_or(Ok(true))?);
            };
            let done = readable && self.control(slot, &mut Fields(&command)).is_some();
            let ack = if done { ctrl::OK } else { ctrl::ERR };
            if done {
                queue.stats.packets += 1;
            } else {
                queue.stats.errors += 1;
            }
            queue.stats.bytes += command.len() as u64;
            self.with_dma(host, slot, index, |dma| {
                let written = chain.scatter(dma, &[ack]).is_ok();
                queue.give_back(&chain, written.into());
                queue.publish(dma)
            })
            .unwrap_or(Ok(()))?;
        }
        Ok(true)
    }

    /// Carries out a command. Returns [`None`] if it cannot be.
    fn control(&mut self, slot: Slot, fields: &mut Fields<'_>) -> Option<()> {
        let features = self.virtio(slot)?.features;
        let (class, command) = (fields.u8()?, fields.u8()?);
        let needs = match (class, command) {
            (ctrl::RX, ctrl::RX_PROMISC | ctrl::RX_ALLMULTI) => feature::CTRL_RX,
            (ctrl::RX, _) => feature::CTRL_RX_EXTRA,
            (ctrl::MAC, ctrl::MAC_TABLE_SET) => feature::CTRL_RX,
            (ctrl::MAC, _) => feature::CTRL_MAC_ADDR,
            (ctrl::VLAN, _) => feature::CTRL_VLAN,
            (ctrl::ANNOUNCE, _) => feature::GUEST_ANNOUNCE,
            (ctrl::MQ, ctrl::MQ_VQ_PAIRS_SET) => feature::MQ,
            (ctrl::MQ, ctrl::MQ_HASH_CONFIG) => feature::HASH_REPORT,
            (ctrl::MQ, _) => feature::RSS,
            (ctrl::GUEST_OFFLOADS, _) => feature::CTRL_GUEST_OFFLOADS,
            _ => return None,
        };
        if features & needs == 0 {
            return None;
        }
        match class {
            ctrl::RX => self.control_rx(slot, command, fields.flag()?),
            ctrl::MAC => self.control_mac(slot, command, fields),
            ctrl::VLAN => self.control_vlan(slot, command, fields.u16()?),
            ctrl::ANNOUNCE if command == ctrl::ANNOUNCE_ACK => {
                self.virtio_mut(slot)?.announce = false;
                Some(())
            }
            ctrl::MQ => self.control_mq(slot, command, fields),
            ctrl::GUEST_OFFLOADS if command == ctrl::GUEST_OFFLOADS_SET => {
                let offloads = fields.u64()?;
                let virtio = self.virtio_mut(slot)?;
                (offloads & !(virtio.features & OFFLOADS) == 0).then(|| virtio.offloads = offloads)
            }
            _ => None,
        }
    }

    /// Sets what is received.
    fn control_rx(&mut self, slot: Slot, command: u8, on: bool) -> Option<()> {
        let filter = &mut self.virtio_mut(slot)?.filter;
        let [everything, all_unicast, all_multicast] = &mut filter.all;
        let [unicast, multicast, broadcast] = &mut filter.without;
        let setting = match command {
            ctrl::RX_PROMISC => everything,
            ctrl::RX_ALLMULTI => all_multicast,
            ctrl::RX_ALLUNI => all_unicast,
            ctrl::RX_NOMULTI => multicast,
            ctrl::RX_NOUNI => unicast,
            ctrl::RX_NOBCAST => broadcast,
            _ => return None,
        };
        *setting = on;
        let mode = filter.mode();
        self.change_port(slot, |port| port.mode = mode);
        Some(())
    }

    /// Sets addresses.
    fn control_mac(&mut self, slot: Slot, command: u8, fields: &mut Fields<'_>) -> Option<()> {
        match command {
            ctrl::MAC_TABLE_SET => {
                let (unicast, multicast) = (fields.addresses()?, fields.addresses()?);
                if unicast.len() + multicast.len() > MAX_RX_FILTER {
                    return None;
                }
                self.change_port(slot, |port| {
                    port.filter.clear();
                    port.filter.extend(unicast.iter().chain(&multicast));
                });
            }
            ctrl::MAC_ADDR_SET => {
                let mac = Mac(fields.array()?);
                if !mac.is_station() {
                    return None;
                }
                self.change_port(slot, |port| port.mac = mac);
            }
            _ => return None,
        }
        Some(())
    }

    /// Lets a VLAN pass, or no longer.
    fn control_vlan(&mut self, slot: Slot, command: u8, vlan: u16) -> Option<()> {
        let vlan = usize::from(vlan);
        if vlan >= VLANS {
            return None;
        }
        let word = self.virtio_mut(slot)?.filter.vlans.get_mut(vlan / 64)?;
        match command {
            ctrl::VLAN_ADD => *word |= 1 << (vlan % 64),
            ctrl::VLAN_DEL => *word &= !(1 << (vlan % 64)),
            _ => return None,
        }
        Some(())
    }

    /// Sets which queue pairs are used, and how packets are spread over them.
    fn control_mq(&mut self, slot: Slot, command: u8, fields: &mut Fields<'_>) -> Option<()> {
        let virtio = self.virtio_mut(slot)?;
        match command {
            ctrl::MQ_VQ_PAIRS_SET => {
                let pairs = fields.u16()?;
                if !(1..=virtio.pairs).contains(&pairs) {
                    return None;
                }
                virtio.steering.spread(pairs)?;
            }
            ctrl::MQ_RSS_CONFIG => {
                let types = fields.u32()?;
                let entries = usize::from(fields.u16()?) + 1;
                let unclassified = fields.u16()?;
                let table = fields.bytes(2 * entries)?;
                let table = table
                    .chunks_exact(2)
                    .map(|entry| u16::from_le_bytes([entry[0], entry[1]]))
                    .collect();
                let pairs = fields.u16()?;
                let key = fields.key()?;
                if !(1..=virtio.pairs).contains(&pairs) {
                    return None;
                }
                let steering = Steering::by(types, key, table, unclassified, pairs)?;
                if steering.highest() >= virtio.pairs {
                    return None;
                }
                virtio.steering = steering;
            }
            ctrl::MQ_HASH_CONFIG => {
                let types = fields.u32()?;
                // Reserved. Linux leaves a number there that means something in the other command.
                fields.array::<8>()?;
                virtio.steering.tell_hashes(types, fields.key()?)?;
            }
            _ => return None,
        }
        Some(())
    }
}
