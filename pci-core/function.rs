// SPDX-License-Identifier: GPL-2.0

//! The function of the DPU behind a PCI function: what it says of itself, and what its clients are
//! handed of it.

use ferrite_abi::{
    bar::{
        BAR_DOORBELLS,
        DOORBELL_PAGE, //
    },
    cmd::{
        QueryFunction,
        QueryFunctionDone, //
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
    irq,
    logic::{
        identity::{
            check_function,
            Basics, //
        },
        port::Registers, //
    },
};

/// What is known of the function.
pub(crate) struct Function {
    /// Its id.
    pub(crate) id: FunctionId,
    /// What it can do.
    pub(crate) features: Features,
    answer: QueryFunctionDone,
    max_depth: Depth,
}

impl Function {
    /// Asks the device about the function that `basics` are of.
    ///
    /// # Errors
    ///
    /// `EIO` if the answer makes no sense, or what the failure of the command means.
    pub(crate) fn query(
        device: &Device<Bound>,
        bar: &Bar,
        admin: &AdminQueue,
        basics: &Basics,
    ) -> Result<Self> {
        let answer = admin
            .send(basics.id, QueryFunction {})
            .inspect_err(|error| {
                dev_err!(device, "querying function {}: {error}\n", basics.id.0);
            })?;
        check_function(&answer, basics).map_err(|unfit| {
            dev_err!(
                device,
                "function {} does not make sense: {unfit}\n",
                basics.id.0
            );
            EIO
        })?;
        Ok(Self {
            id: basics.id,
            features: Features::join(bar.read(), bar.read()),
            max_depth: Depth::from_log2(answer.max_depth_log2).ok_or(EIO)?,
            answer,
        })
    }

    /// Returns the largest number of queue pairs, [`MAX_QUEUES`](ferrite_abi::ids::MAX_QUEUES) at
    /// most.
    pub(crate) fn max_queues(&self) -> u16 {
        self.answer.max_queues.get()
    }

    /// Makes the function that clients are handed.
    pub(crate) fn owner(
        &self,
        pdev: &pci::Device<Bound>,
        vectors: Arc<Vectors>,
        port: Arc<devlink::Port>,
        admin: Arc<AdminQueue>,
    ) -> Result<Arc<Owner>> {
        let page = u32::from(self.answer.doorbell_page.get());
        let doorbells = Window::map(pdev, BAR_DOORBELLS.into(), c"ferrite_core doorbells")?
            .slice((page * DOORBELL_PAGE) as usize, DOORBELL_PAGE as usize)
            .inspect_err(|_| dev_err!(pdev, "doorbell page {page} is beyond its BAR\n"))?;
        let description = Description {
            id: self.id,
            features: self.features,
            mac: self.answer.mac,
            mtu: self.answer.mtu.get(),
            max_mtu: self.answer.max_mtu.get(),
            max_queues: self.max_queues(),
            rss_table: self.answer.rss_table.get(),
            max_depth: self.max_depth,
            vectors: irq::OWN + 1..vectors.count(),
        };
        let owner = Owner::new(
            pdev.as_ref(),
            description,
            doorbells,
            vectors,
            Some(port),
            admin,
        )?;
        Ok(Arc::new(owner, GFP_KERNEL)?)
    }
}
