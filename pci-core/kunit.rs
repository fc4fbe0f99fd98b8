// SPDX-License-Identifier: GPL-2.0

//! KUnit suites: the logic as the kernel's compiler builds it. What it must do in detail is tested
//! on the host, against the device model.

use kernel::prelude::*;

#[kunit_tests(ferrite_core_fault)]
mod fault {
    use crate::logic::fault::{
        parse,
        BadOrder,
        Order, //
    };

    #[test]
    fn orders_are_read() {
        // Line, kind, opcode, skip, count, param.
        let table = [
            ("lose_completion opcode=0x0000 count=1\n", (1, 0, 0, 1, 0)),
            ("hang", (8, 0xffff, 0, 1, 0)),
            (
                "Wrong_Tag param=65535 skip=3 count=0",
                (4, 0xffff, 3, 0, 65535),
            ),
        ];
        for (line, expected) in table {
            let Ok(Order::Inject(fault)) = parse(line) else {
                assert!(false);
                continue;
            };
            assert_eq!(fault.kind.get(), expected.0);
            assert_eq!(fault.opcode.get(), expected.1);
            assert_eq!(fault.skip.get(), expected.2);
            assert_eq!(fault.count.get(), expected.3);
            assert_eq!(fault.param.get(), expected.4);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let table = [
            ("", BadOrder::Empty),
            ("melt", BadOrder::UnknownKind),
            ("clear all", BadOrder::BadWord),
            ("hang opcode=0x10000", BadOrder::OutOfRange),
        ];
        for (line, expected) in table {
            assert_eq!(parse(line).err(), Some(expected));
        }
    }
}

#[kunit_tests(ferrite_core_adminq)]
mod adminq {
    use core::{
        cell::Cell,
        task::Poll, //
    };
    use ferrite_abi::{
        admin::{
            Completion,
            Opcode,
            Status,
            Submission, //
        },
        cmd::Echo,
        ids::FunctionId,
        regs::{
            AdminStatus,
            Register, //
        },
        ring::Index,
        wire::{
            U16,
            U32,
            U64, //
        },
    };

    use crate::logic::{
        adminq::AdminQueue,
        port::{
            AdminRings,
            Registers, //
        },
        slot::{
            Tag,
            Unanswered, //
        },
    };

    const SLOTS: usize = 16;
    type Queue = AdminQueue<SLOTS>;

    /// A device that says it runs, and answers what it is told to.
    struct Fake {
        answers: [Cell<Completion>; SLOTS],
        tail: Cell<Index>,
    }

    impl Fake {
        fn new() -> Self {
            Self {
                answers: [const { Cell::new(EMPTY) }; SLOTS],
                tail: Cell::new(Index(0)),
            }
        }

        fn answer(&self, tag: u16, opcode: Opcode) {
            let index = self.tail.get();
            self.answers[Queue::DEPTH.slot(index)].set(Completion {
                tag: U16::new(tag),
                opcode: U16::new(opcode.0),
                sq_head: U16::new(1),
                meta: U32::new(Queue::DEPTH.phase(index).into()),
                ..EMPTY
            });
            self.tail.set(index.plus(1));
        }
    }

    const EMPTY: Completion = Completion {
        tag: U16::ZERO,
        opcode: U16::ZERO,
        status: U16::ZERO,
        sq_head: U16::ZERO,
        result: [0; 20],
        meta: U32::ZERO,
    };

    impl Registers for Fake {
        fn read<R: Register>(&self) -> R {
            let running = AdminStatus::default().with_enabled(1).raw();
            R::from_raw(if R::OFFSET == AdminStatus::OFFSET {
                running
            } else {
                0
            })
        }

        fn write<R: Register>(&self, _register: R) {}
    }

    impl AdminRings for Fake {
        fn bus(&self) -> (u64, u64) {
            (0x1000, 0x2000)
        }

        fn post(&self, _slot: usize, _entry: &Submission) {}

        fn completion(&self, slot: usize) -> Completion {
            self.answers[slot].get()
        }

        fn clear(&self) {}
    }

    fn echo(fake: &Fake, queue: &mut Queue) -> Tag {
        let tag = queue.reserve().ok().flatten().unwrap_or(Tag(u16::MAX));
        let echo = Echo { value: U64::new(7) };
        let command = Submission::new(tag.0, FunctionId::PF, echo);
        let _ = queue.post(fake, fake, &command, 0, 100);
        tag
    }

    #[test]
    fn only_the_right_answer_counts() {
        // Change of the tag, opcode, whether it counts.
        let table = [
            (0, Opcode::ECHO, true),
            (0x0100, Opcode::ECHO, false), // generation
            (0x0010, Opcode::ECHO, false), // slot
            (0, Opcode::IDENTIFY, false),
        ];
        for (change, opcode, counts) in table {
            let (fake, mut queue) = (Fake::new(), Queue::new());
            assert!(queue.start(&fake, &fake).is_ok());
            let tag = echo(&fake, &mut queue);
            fake.answer(tag.0 ^ change, opcode);
            assert_eq!(queue.reap(&fake, &fake, 1), counts);
            match queue.poll(tag, 1) {
                Poll::Ready(Ok(answer)) => assert!(counts && answer.status.get() == Status::OK.0),
                Poll::Ready(Err(_)) => assert!(false),
                Poll::Pending => assert!(!counts),
            }
            queue.release(tag);
        }
    }

    #[test]
    fn slot_is_free_again_after_the_late_answer() {
        let (fake, mut queue) = (Fake::new(), Queue::new());
        assert!(queue.start(&fake, &fake).is_ok());
        let tag = echo(&fake, &mut queue);
        let outcome = queue.poll(tag, 100);
        assert!(matches!(outcome, Poll::Ready(Err(Unanswered::Timeout))));
        queue.release(tag);
        for _ in 1..SLOTS {
            echo(&fake, &mut queue);
        }
        assert!(!queue.has_room());
        fake.answer(tag.0, Opcode::ECHO);
        assert!(queue.reap(&fake, &fake, 200));
        assert!(queue.has_room());
        assert_eq!(queue.counters().late, 1);
    }
}
