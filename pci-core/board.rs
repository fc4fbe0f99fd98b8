// SPDX-License-Identifier: GPL-2.0

//! What all functions on one PCI function share, and how one of them is handed to clients.

use ferrite_abi::{
    bar::{
        BAR_DOORBELLS,
        DOORBELL_PAGE, //
    },
    ids::FunctionId,
    regs::Features,
    ring::Depth, //
};
use ferrite_aux::{
    Description,
    Owner, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    pci,
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    devlink,
    iomap::Window,
    irq::Vectors, //
};

use crate::{
    adminq::AdminQueue,
    bar::Bar,
    function::Function,
    logic::{
        identity::Basics,
        port::Registers, //
    },
    routes::{
        Handed,
        Routes, //
    }, //
};

/// What functions share.
pub(crate) struct Board {
    /// By which they are commanded.
    pub(crate) admin: Arc<AdminQueue>,
    /// Where the events about them go.
    pub(crate) routes: Arc<Routes>,
    /// What they can do.
    pub(crate) features: Features,
    basics: Basics,
    doorbells: Window,
    vectors: Arc<Vectors>,
}

impl Board {
    /// Maps the doorbells of a PCI function.
    pub(crate) fn new(
        pdev: &pci::Device<Bound>,
        bar: &Bar,
        basics: Basics,
        admin: Arc<AdminQueue>,
        vectors: Arc<Vectors>,
        routes: Arc<Routes>,
    ) -> Result<Arc<Self>> {
        let board = Self {
            admin,
            routes,
            features: Features::join(bar.read(), bar.read()),
            basics,
            doorbells: Window::map(pdev, BAR_DOORBELLS.into(), c"ferrite_core doorbells")?,
            vectors,
        };
        Ok(Arc::new(board, GFP_KERNEL)?)
    }

    /// Returns the function that the PCI function is itself.
    pub(crate) fn own(&self) -> FunctionId {
        self.basics.id
    }

    /// Asks the device about `function`, and makes it one that clients can be handed. `port` is the
    /// devlink port that its Ethernet port belongs to, `dma` the PCI function.
    pub(crate) fn hand_out(
        &self,
        dma: &Device<Bound>,
        function: FunctionId,
        port: Option<Arc<devlink::Port>>,
    ) -> Result<Handed> {
        let function = Function::query(dma, &self.admin, &self.basics, function)?;
        let answer = &function.answer;
        let page = u32::from(answer.doorbell_page.get());
        let doorbells = self
            .doorbells
            .slice((page * DOORBELL_PAGE) as usize, DOORBELL_PAGE as usize)
            .inspect_err(|_| dev_err!(dma, "doorbell page {page} is beyond its BAR\n"))?;
        let description = Description {
            id: function.id,
            features: self.features,
            mac: answer.mac,
            mtu: answer.mtu.get(),
            max_mtu: answer.max_mtu.get(),
            max_queues: answer.max_queues.get(),
            rss_table: answer.rss_table.get(),
            max_depth: Depth::from_log2(answer.max_depth_log2).ok_or(EIO)?,
        };
        self.routes.add(Owner::new(
            dma,
            description,
            doorbells,
            self.vectors.clone(),
            port,
            self.admin.clone(),
        )?)
    }
}
