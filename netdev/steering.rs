// SPDX-License-Identifier: GPL-2.0

//! How received packets find their queue, as users set it: contexts of receive side scaling, and
//! filters.
//!
//! The device is told at once, whether the port is up or not, and of everything whenever the port goes
//! up: then it may have been reset. What it refuses does not become the setting.

use crate::logic::rss::{
    entries,
    entries_for,
    Context, //
};
use ferrite_abi::{
    admin::Status,
    cmd::{
        Filter,
        FilterAction,
        QuerySteering,
        RemoveFilter,
        RemoveRss,
        SetFilter, //
    },
    regs::Features,
    wire::U16, //
};
use ferrite_aux::{
    CmdError,
    Function, //
};
use kernel::prelude::*;
use kernel_ext::ethtool::{
    ntuple,
    rss::default_key, //
};

/// What a function can do.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Largest size of the table; 0 if there is no scaling.
    pub(crate) table: u16,
    /// Largest number of a context.
    pub(crate) contexts: u16,
    /// Number of locations for filters.
    pub(crate) filters: u16,
    /// Whether fields and transformations can be chosen.
    pub(crate) choice: bool,
}

impl Limits {
    fn of(function: &Function) -> Result<Self, CmdError> {
        let choice = function.has(Features::RSS_CONTEXTS);
        let has_filters = function.has(Features::FILTERS);
        let (mut contexts, mut filters) = (0, 0);
        if choice || has_filters {
            let done = function.send(QuerySteering {})?;
            contexts = if choice { done.max_contexts.get() } else { 0 };
            filters = if has_filters {
                done.max_filters.get()
            } else {
                0
            };
        }
        let table = function
            .has(Features::RSS)
            .then(|| entries(function.description().rss_table));
        Ok(Self {
            table: table.flatten().unwrap_or(0),
            contexts,
            filters,
            choice,
        })
    }
}

/// A filter: as the user wrote it, and as the device has it.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) user: ntuple::Filter,
    pub(crate) command: SetFilter,
    pub(crate) filter: Filter,
}

impl Rule {
    pub(crate) fn location(&self) -> u16 {
        self.command.location.get()
    }

    fn context(&self) -> Option<u16> {
        (self.command.action.get() == FilterAction::RSS.0).then(|| self.command.context.get())
    }
}

/// What users set.
pub(crate) struct Steering {
    pub(crate) limits: Limits,
    /// Entries of all tables.
    entries: u16,
    /// Context 0.
    main: Context,
    /// The others, by their numbers.
    contexts: KVec<(u16, KBox<Context>)>,
    /// In ascending order of their locations.
    rules: KVec<Rule>,
}

impl Steering {
    /// Returns the default for `queues` queues.
    ///
    /// # Errors
    ///
    /// Those of [`CmdError`].
    pub(crate) fn new(function: &Function, queues: u16) -> Result<Self> {
        let limits = Limits::of(function)?;
        Ok(Self {
            limits,
            entries: entries_for(queues, limits.table),
            main: Context::new(default_key(), queues),
            contexts: KVec::new(),
            rules: KVec::new(),
        })
    }

    /// Returns the number of entries of all tables.
    pub(crate) fn entries(&self) -> u16 {
        self.entries
    }

    /// Returns the number of entries for `queues` queues.
    pub(crate) fn entries_for(&self, queues: u16) -> u16 {
        entries_for(queues, self.limits.table)
    }

    /// Returns whether there are contexts but context 0.
    pub(crate) fn has_contexts(&self) -> bool {
        !self.contexts.is_empty()
    }

    /// Returns a context.
    pub(crate) fn context(&self, number: u32) -> Option<&Context> {
        if number == 0 {
            return Some(&self.main);
        }
        let found = self
            .contexts
            .iter()
            .find(|(at, _)| u32::from(*at) == number);
        found.map(|(_, context)| &**context)
    }

    fn context_mut(&mut self, number: u16) -> Option<&mut Context> {
        if number == 0 {
            return Some(&mut self.main);
        }
        let found = self.contexts.iter_mut().find(|(at, _)| *at == number);
        found.map(|(_, context)| &mut **context)
    }

    /// Returns the rules.
    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Returns the highest queue that a packet may be steered to other than by an even spread.
    /// `with_main` tells whether the table of context 0 counts.
    pub(crate) fn highest_queue(&self, with_main: bool) -> u32 {
        let mut highest = 0;
        if with_main {
            highest = self.main.highest(self.entries);
        }
        for (_, context) in &self.contexts {
            highest = highest.max(context.highest(self.entries));
        }
        let rules = self.rules.iter().map(|rule| self.reach(rule));
        rules.max().unwrap_or(0).max(highest.into())
    }

    /// Returns the highest queue that a rule leads to.
    pub(crate) fn reach(&self, rule: &Rule) -> u32 {
        let scaled = rule
            .context()
            .and_then(|number| self.context(number.into()))
            .map_or(0, |context| context.highest(self.entries));
        u32::from(rule.command.queue.get()) + u32::from(scaled)
    }

    /// Returns what rules add, at most, to the queue that comes out of a context.
    pub(crate) fn added_to(&self, number: u16) -> u32 {
        let rules = self.rules.iter();
        let added = rules
            .filter(|rule| rule.context() == Some(number))
            .map(|rule| rule.command.queue.get());
        added.max().unwrap_or(0).into()
    }

    /// Sizes tables for `queues` queues, without telling the device. Context 0 is spread evenly over
    /// them, unless its table `is_users`. Called with the former number, it undoes that.
    pub(crate) fn size_for(&mut self, queues: u16, is_users: bool) {
        self.entries = self.entries_for(queues);
        if !is_users {
            self.main.respread(queues);
        }
    }

    /// Lets the sizes of tables be for good: what a smaller one has not got is forgotten.
    pub(crate) fn keep_sizes(&mut self) {
        self.main.cut(self.entries);
        for (_, context) in &mut self.contexts {
            context.cut(self.entries);
        }
    }

    fn send_context(
        &self,
        function: &Function,
        number: u16,
        context: &Context,
    ) -> Result<(), CmdError> {
        if self.limits.table == 0 {
            return Ok(());
        }
        let (command, data) = context.command(number, self.entries, self.limits.choice);
        function.send_with(command, &data)
    }

    /// Sets a context that there is, if the device agrees.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is no such context, those of [`CmdError`].
    pub(crate) fn set_context(
        &mut self,
        function: &Function,
        number: u16,
        context: &Context,
    ) -> Result {
        let before = self.context(number.into()).ok_or(ENOENT)?;
        if let Err(error) = self.send_context(function, number, context) {
            // Whether or not it was carried out: the device is to have what is told to users.
            let _ = self.send_context(function, number, before);
            return Err(error.into());
        }
        if let Some(to) = self.context_mut(number) {
            to.clone_from(context);
        }
        Ok(())
    }

    /// Adds a context that there is not.
    ///
    /// # Errors
    ///
    /// `EEXIST`, `ENOMEM`, those of [`CmdError`].
    pub(crate) fn add_context(
        &mut self,
        function: &Function,
        number: u16,
        context: &Context,
    ) -> Result {
        if self.context(number.into()).is_some() {
            return Err(EEXIST);
        }
        self.contexts.reserve(1, GFP_KERNEL)?;
        let own = KBox::new(context.clone(), GFP_KERNEL)?;
        if let Err(error) = self.send_context(function, number, context) {
            let _ = remove_context(function, number);
            return Err(error.into());
        }
        Ok(self.contexts.push((number, own), GFP_KERNEL)?)
    }

    /// Removes a context, which no rule names.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is none, `EBUSY` if a rule names it, those of [`CmdError`].
    pub(crate) fn remove_context(&mut self, function: &Function, number: u16) -> Result {
        let found = self.contexts.iter().position(|(at, _)| *at == number);
        let index = found.ok_or(ENOENT)?;
        if self.rules.iter().any(|rule| rule.context() == Some(number)) {
            return Err(EBUSY);
        }
        if let Err(error) = remove_context(function, number) {
            let _ = self.send_context(function, number, &self.contexts[index].1);
            return Err(error.into());
        }
        let _ = self.contexts.remove(index);
        Ok(())
    }

    /// Sets a rule, in place of the one that is at its location.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, those of [`CmdError`].
    pub(crate) fn set_rule(&mut self, function: &Function, rule: Rule) -> Result {
        self.rules.reserve(1, GFP_KERNEL)?;
        let place = self
            .rules
            .binary_search_by_key(&rule.location(), Rule::location);
        if let Err(error) = function.send_with(rule.command, &rule.filter) {
            let _ = match place {
                Ok(index) => {
                    let before = &self.rules[index];
                    function.send_with(before.command, &before.filter)
                }
                Err(_) => remove_rule(function, rule.location()),
            };
            return Err(error.into());
        }
        match place {
            Ok(index) => self.rules[index] = rule,
            Err(index) => self
                .rules
                .insert_within_capacity(index, rule)
                .map_err(|_| ENOMEM)?,
        }
        Ok(())
    }

    /// Removes a rule.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is none, those of [`CmdError`].
    pub(crate) fn remove_rule(&mut self, function: &Function, location: u32) -> Result {
        let location = u16::try_from(location).map_err(|_| ENOENT)?;
        let index = self
            .rules
            .binary_search_by_key(&location, Rule::location)
            .map_err(|_| ENOENT)?;
        if let Err(error) = remove_rule(function, location) {
            let rule = &self.rules[index];
            let _ = function.send_with(rule.command, &rule.filter);
            return Err(error.into());
        }
        let _ = self.rules.remove(index);
        Ok(())
    }

    /// Tells the device everything.
    ///
    /// # Errors
    ///
    /// Those of [`CmdError`].
    pub(crate) fn apply(&self, function: &Function) -> Result<(), CmdError> {
        self.send_context(function, 0, &self.main)?;
        for (number, context) in &self.contexts {
            self.send_context(function, *number, context)?;
        }
        for rule in &self.rules {
            function.send_with(rule.command, &rule.filter)?;
        }
        Ok(())
    }
}

/// Takes a context away from the device, which may have lost it.
fn remove_context(function: &Function, number: u16) -> Result<(), CmdError> {
    forgive(function.send(RemoveRss {
        context: U16::new(number),
        rsvd: [0; 2],
    }))
}

/// Takes a rule away from the device, which may have lost it.
fn remove_rule(function: &Function, location: u16) -> Result<(), CmdError> {
    forgive(function.send(RemoveFilter {
        location: U16::new(location),
        rsvd: [0; 2],
    }))
}

fn forgive(result: Result<(), CmdError>) -> Result<(), CmdError> {
    match result {
        Err(CmdError::Status(Status::BAD_STATE)) => Ok(()),
        result => result,
    }
}
