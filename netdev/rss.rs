// SPDX-License-Identifier: GPL-2.0

//! Receive side scaling, as the user set it.

use crate::logic::rss::{
    entries,
    spread, //
};
use ferrite_abi::{
    cmd::{
        RssHash,
        RssTable,
        SetRss,
        MAX_RSS_TABLE,
        RSS_KEY, //
    },
    regs::Features,
    wire::U16, //
};
use ferrite_aux::{
    CmdError,
    Function, //
};
use kernel::prelude::*;
use kernel_ext::ethtool::rss_key;

/// Key and indirection table.
pub(crate) struct Rss {
    pub(crate) key: [u8; RSS_KEY],
    /// Receive queue of each entry; empty if the device has no such thing.
    pub(crate) table: KVec<u16>,
    /// Whether the user wrote the table.
    is_users: bool,
}

impl Rss {
    /// Returns the default for `queues` queues.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(function: &Function, queues: u16) -> Result<Self> {
        let count = function
            .has(Features::RSS)
            .then(|| entries(function.description().rss_table))
            .flatten()
            .unwrap_or(0);
        Ok(Self {
            key: rss_key(),
            table: KVec::from_elem(0, count.into(), GFP_KERNEL)?,
            is_users: false,
        }
        .spread_over(queues))
    }

    fn spread_over(mut self, queues: u16) -> Self {
        self.respread(queues);
        self
    }

    /// Spreads packets evenly over `queues` queues, unless the user said otherwise.
    pub(crate) fn respread(&mut self, queues: u16) {
        let is_usable = self.table.iter().all(|queue| *queue < queues);
        if self.is_users && is_usable {
            return;
        }
        self.is_users = false;
        for (index, queue) in self.table.iter_mut().enumerate() {
            *queue = spread(index, queues);
        }
    }

    /// Takes what the user wrote.
    ///
    /// # Errors
    ///
    /// `EINVAL` if lengths are not those of this.
    pub(crate) fn set(&mut self, table: Option<&[u32]>, key: Option<&[u8]>) -> Result {
        let is_short = table.is_some_and(|table| table.len() != self.table.len());
        if is_short || key.is_some_and(|key| key.len() != RSS_KEY) {
            return Err(EINVAL);
        }
        if let Some(table) = table {
            for (to, queue) in self.table.iter_mut().zip(table) {
                // CAST: the core checked that there is such a queue.
                *to = *queue as u16;
            }
            self.is_users = true;
        }
        if let Some(key) = key {
            self.key.copy_from_slice(key);
        }
        Ok(())
    }

    /// Tells the device.
    ///
    /// # Errors
    ///
    /// Those of [`CmdError`].
    pub(crate) fn apply(&self, function: &Function) -> Result<(), CmdError> {
        if self.table.is_empty() {
            return Ok(());
        }
        let mut data = RssTable {
            key: self.key,
            queues: [U16::new(0); MAX_RSS_TABLE],
        };
        for (to, queue) in data.queues.iter_mut().zip(&self.table) {
            *to = U16::new(*queue);
        }
        let hash = RssHash::IPV4
            .with(RssHash::IPV6)
            .with(RssHash::TCP)
            .with(RssHash::UDP);
        function.send_with(
            SetRss {
                hash: U16::new(hash.0),
                // CAST: at most `MAX_RSS_TABLE`.
                entries: U16::new(self.table.len() as u16),
                ..SetRss::default()
            },
            &data,
        )
    }
}
