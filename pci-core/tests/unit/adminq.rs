// SPDX-License-Identifier: GPL-2.0

//! The admin queue against answers written by hand.

use std::task::Poll;

use ferrite_abi::admin::{
    Opcode,
    Status, //
};
use ferrite_abi::regs::{
    AdminControl,
    AdminCqBaseHi,
    AdminCqBaseLo,
    AdminCqHead,
    AdminError,
    AdminSize,
    AdminSqBaseHi,
    AdminSqBaseLo,
    AdminSqTail,
    AdminStatus,
    AdminVector,
    Status as FunctionStatus, //
};
use ferrite_core_logic::adminq::{
    Notice,
    State,
    HEARTBEAT_GRACE, //
};
use ferrite_core_logic::failure::{
    FailureKind,
    Loss, //
};
use ferrite_core_logic::slot::{
    Tag,
    Unanswered, //
};

use super::bench::{
    Bench,
    Queue,
    ECHO,
    PATIENCE,
    SLOTS, //
};

fn timeout() -> Poll<Result<u16, Unanswered>> {
    Poll::Ready(Err(Unanswered::Timeout))
}

fn gone() -> Poll<Result<u16, Unanswered>> {
    Poll::Ready(Err(Unanswered::Gone))
}

fn status(status: Status) -> Poll<Result<u16, Unanswered>> {
    Poll::Ready(Ok(status.0))
}

/// What `poll` says, reduced to the status.
fn poll(queue: &mut Queue, tag: Tag, now: u64) -> Poll<Result<u16, Unanswered>> {
    queue
        .poll(tag, now)
        .map_ok(|completion| completion.status.get())
}

fn last_failure(queue: &Queue) -> FailureKind {
    queue.failures().since(0).last().unwrap().1.kind
}

#[test]
fn start_programs_the_rings_and_then_enables() {
    let (bench, queue) = Bench::started();
    assert_eq!(queue.state(), State::Running);
    assert_eq!(bench.written::<AdminSqBaseLo>(), Some(0x2345_6000));
    assert_eq!(bench.written::<AdminSqBaseHi>(), Some(1));
    assert_eq!(bench.written::<AdminCqBaseLo>(), Some(0x3456_7000));
    assert_eq!(bench.written::<AdminCqBaseHi>(), Some(2));
    assert_eq!(bench.written::<AdminSize>(), Some(4));
    assert_eq!(bench.written::<AdminVector>(), Some(0));
    let writes = bench.writes.borrow();
    assert_eq!(writes.first(), Some(&(0x118, 0)));
    assert_eq!(writes.last(), Some(&(0x118, 1)));
}

#[test]
fn start_fails_with_what_the_device_says() {
    let bench = Bench::new();
    bench.refuses_to_start.set(true);
    let refused = Loss::Refused(AdminError::NONE);
    let mut queue = Queue::new();
    assert_eq!(queue.start(&bench, &bench), Err(refused));
    assert_eq!(queue.state(), State::Lost(refused));
    assert_eq!(queue.reserve(), Err(Unanswered::Gone));

    bench.vanished.set(true);
    assert_eq!(Queue::new().start(&bench, &bench), Err(Loss::Vanished));
}

#[test]
fn command_is_posted_and_answered() {
    let (bench, mut queue) = Bench::started();
    let tag = bench.echo(&mut queue, 0);
    assert_eq!(bench.written::<AdminSqTail>(), Some(1));
    assert_eq!(bench.submission(0).tag.get(), tag.0);
    assert_eq!(poll(&mut queue, tag, 1), Poll::Pending);

    bench.answer(tag.0, ECHO, Status::OK);
    assert!(queue.reap(&bench, &bench, 1));
    assert_eq!(bench.written::<AdminCqHead>(), Some(1));
    assert_eq!(poll(&mut queue, tag, 2), status(Status::OK));
    // The outcome stays until the slot is released.
    assert_eq!(poll(&mut queue, tag, 3), status(Status::OK));
    queue.release(tag);
    assert_eq!((queue.counters().posted, queue.counters().answered), (1, 1));
    assert_eq!(queue.failures().total(), 0);
}

#[test]
fn as_many_commands_as_slots_are_outstanding_and_answered_in_any_order() {
    let (bench, mut queue) = Bench::started();
    for round in 0..5 {
        let tags: Vec<_> = (0..SLOTS).map(|_| bench.echo(&mut queue, round)).collect();
        assert_eq!(queue.reserve(), Ok(None), "round {round}");
        for tag in tags.iter().rev() {
            bench.answer(tag.0, ECHO, Status::OK);
        }
        assert!(queue.reap(&bench, &bench, round));
        for tag in tags {
            assert_eq!(poll(&mut queue, tag, round), status(Status::OK));
            queue.release(tag);
        }
    }
    assert_eq!(queue.counters().full, 5);
    assert_eq!(queue.failures().total(), 0);
}

#[test]
fn released_but_not_posted_slot_is_free() {
    let (_bench, mut queue) = Bench::started();
    for _ in 0..3 * SLOTS {
        let tag = queue.reserve().unwrap().unwrap();
        queue.release(tag);
    }
}

#[test]
fn a_tag_never_comes_back_soon() {
    let (_bench, mut queue) = Bench::started();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..256 * SLOTS {
        let tag = queue.reserve().unwrap().unwrap();
        assert!(seen.insert(tag.0), "{tag:?} came back");
        queue.release(tag);
    }
}

#[test]
fn refusal_is_an_answer() {
    let (bench, mut queue) = Bench::started();
    for refusal in [Status::NO_RESOURCE, Status(0xdead)] {
        let tag = bench.echo(&mut queue, 0);
        bench.answer(tag.0, ECHO, refusal);
        queue.reap(&bench, &bench, 0);
        assert_eq!(poll(&mut queue, tag, 0), status(refusal));
        assert_eq!(last_failure(&queue), FailureKind::Refused(refusal));
        queue.release(tag);
    }
    assert_eq!(queue.counters().refused, 2);
    assert_eq!(queue.counters().unknown_status, 1);
}

#[test]
fn late_answer_frees_the_slot_and_reaches_nobody() {
    let (bench, mut queue) = Bench::started();
    let late = bench.echo(&mut queue, 0);
    assert_eq!(poll(&mut queue, late, PATIENCE - 1), Poll::Pending);
    assert_eq!(poll(&mut queue, late, PATIENCE), timeout());
    queue.release(late);

    // All other slots can be used meanwhile, that one cannot.
    let others: Vec<_> = (1..SLOTS)
        .map(|_| bench.echo(&mut queue, PATIENCE))
        .collect();
    assert!(others.iter().all(|tag| tag.slot() != late.slot()));
    assert_eq!(queue.reserve(), Ok(None));

    bench.answer(late.0, ECHO, Status::OK);
    assert!(queue.reap(&bench, &bench, PATIENCE));
    assert_eq!(queue.counters().late, 1);
    assert_eq!(last_failure(&queue), FailureKind::Late);
    let reused = queue.reserve().unwrap().unwrap();
    assert_eq!(reused.slot(), late.slot());
    assert_ne!(reused, late);
    assert!(others
        .iter()
        .all(|tag| poll(&mut queue, *tag, PATIENCE).is_pending()));
}

#[test]
fn answer_in_time_counts_even_if_it_is_collected_late() {
    let (bench, mut queue) = Bench::started();
    let tag = bench.echo(&mut queue, 0);
    bench.answer(tag.0, ECHO, Status::OK);
    queue.reap(&bench, &bench, 1);
    assert_eq!(poll(&mut queue, tag, 10 * PATIENCE), status(Status::OK));
}

#[test]
fn repeated_answer_does_not_reach_the_next_user_of_the_slot() {
    let (bench, mut queue) = Bench::started();
    let first = bench.echo(&mut queue, 0);
    bench.answer(first.0, ECHO, Status::OK);
    bench.answer(first.0, ECHO, Status::OK);
    queue.reap(&bench, &bench, 0);
    assert_eq!(queue.counters().stale, 1);
    queue.release(first);
    bench.answer(first.0, ECHO, Status::OK);
    queue.reap(&bench, &bench, 0);
    assert_eq!(queue.counters().stale, 2);

    let tags: Vec<_> = (0..SLOTS).map(|_| bench.echo(&mut queue, 0)).collect();
    bench.answer(first.0, ECHO, Status::OK);
    assert!(!queue.reap(&bench, &bench, 0));
    assert_eq!(queue.counters().stale, 3);
    assert!(tags
        .iter()
        .all(|tag| poll(&mut queue, *tag, 0).is_pending()));
}

#[test]
fn answers_to_nothing_are_counted_and_ignored() {
    let (bench, mut queue) = Bench::started();
    let tag = bench.echo(&mut queue, 0);
    bench.answer(0x0010, ECHO, Status::OK);
    bench.answer(0xffff, ECHO, Status::OK);
    assert!(!queue.reap(&bench, &bench, 0));
    assert_eq!(queue.counters().unknown_tag, 2);
    assert_eq!(last_failure(&queue), FailureKind::UnknownTag);
    assert_eq!(poll(&mut queue, tag, 0), Poll::Pending);
}

#[test]
fn answer_with_another_opcode_is_ignored_and_the_right_one_still_counts() {
    let (bench, mut queue) = Bench::started();
    let tag = bench.echo(&mut queue, 0);
    bench.answer(tag.0, Opcode::IDENTIFY, Status::OK);
    assert!(!queue.reap(&bench, &bench, 0));
    assert_eq!(
        last_failure(&queue),
        FailureKind::WrongOpcode { expected: ECHO }
    );
    assert_eq!(poll(&mut queue, tag, 0), Poll::Pending);
    bench.answer(tag.0, ECHO, Status::OK);
    assert!(queue.reap(&bench, &bench, 0));
    assert_eq!(poll(&mut queue, tag, 0), status(Status::OK));
}

#[test]
fn impossible_submission_head_is_counted_and_ignored() {
    let (bench, mut queue) = Bench::started();
    let tag = bench.echo(&mut queue, 0);
    bench.answer_raw(tag.0, ECHO, 0, 0x4242);
    queue.reap(&bench, &bench, 0);
    assert_eq!(queue.counters().bad_sq_head, 1);
    assert_eq!(poll(&mut queue, tag, 0), status(Status::OK));
    assert_eq!(queue.indices().1 .0, 0);
    queue.release(tag);

    // With the head unknown the ring counts as filling up, until the device tells it again.
    for _ in 1..SLOTS {
        let tag = bench.echo(&mut queue, 0);
        bench.answer_raw(tag.0, ECHO, 0, 0x4242);
        queue.reap(&bench, &bench, 0);
        queue.release(tag);
    }
    assert_eq!(queue.reserve(), Ok(None));
    bench.answer(0xffff, ECHO, Status::OK);
    queue.reap(&bench, &bench, 0);
    assert!(queue.reserve().unwrap().is_some());
}

#[test]
fn head_from_a_delayed_answer_is_no_offence() {
    let (bench, mut queue) = Bench::started();
    let (first, second) = (bench.echo(&mut queue, 0), bench.echo(&mut queue, 0));
    bench.answer_raw(second.0, ECHO, 0, 2);
    bench.answer_raw(first.0, ECHO, 0, 1);
    queue.reap(&bench, &bench, 0);
    assert_eq!(queue.counters().bad_sq_head, 0);
    assert_eq!(queue.indices().1 .0, 2);
}

#[test]
fn device_that_never_stops_answering_does_not_hold_the_driver() {
    let (bench, mut queue) = Bench::started();
    // All entries seem new in the first pass, and in each odd one.
    let mut ring = vec![0xff; SLOTS * 32];
    bench.scribble(&ring);
    queue.reap(&bench, &bench, 0);
    assert_eq!(queue.indices().2 .0, SLOTS as u32);
    ring.fill(0);
    bench.scribble(&ring);
    queue.reap(&bench, &bench, 0);
    assert_eq!(queue.indices().2 .0, 2 * SLOTS as u32);
}

#[test]
fn tick_finds_answers_whose_interrupt_was_lost() {
    let (bench, mut queue) = Bench::started();
    queue.set_vector(&bench, Some(3));
    assert_eq!(bench.written::<AdminVector>(), Some(0x8000_0003));
    let tag = bench.echo(&mut queue, 0);
    bench.answer(tag.0, ECHO, Status::OK);
    assert!(queue.tick(&bench, &bench, 1));
    assert_eq!(poll(&mut queue, tag, 1), status(Status::OK));
    assert_eq!(queue.counters().polled, 1);
}

#[test]
fn queue_full_of_lost_commands_is_reset() {
    let (bench, mut queue) = Bench::started();
    let lost: Vec<_> = (0..SLOTS).map(|_| bench.echo(&mut queue, 0)).collect();
    for (n, tag) in lost.iter().enumerate() {
        bench.beat();
        assert_eq!(poll(&mut queue, *tag, PATIENCE), timeout());
        queue.release(*tag);
        let progress = queue.tick(&bench, &bench, PATIENCE);
        assert_eq!(progress, n + 1 == SLOTS, "after {} timeouts", n + 1);
    }
    assert_eq!(
        queue.take_notice(),
        Some(Notice::Reset { unanswered: SLOTS })
    );
    assert_eq!(queue.take_notice(), None);
    assert_eq!(bench.written::<AdminControl>(), Some(1));

    // The answers of the past must not be taken for new ones.
    let tag = bench.echo(&mut queue, PATIENCE);
    assert_eq!(bench.submission(0).tag.get(), tag.0);
    assert!(!queue.reap(&bench, &bench, PATIENCE));
    bench.answer(tag.0, ECHO, Status::OK);
    assert!(queue.reap(&bench, &bench, PATIENCE));
    assert_eq!(poll(&mut queue, tag, PATIENCE), status(Status::OK));
}

#[test]
fn answers_from_before_a_reset_are_not_taken_in_again() {
    let (bench, mut queue) = Bench::started();
    for _ in 0..SLOTS / 2 {
        let tag = bench.echo(&mut queue, 0);
        bench.answer(tag.0, ECHO, Status::OK);
        queue.reap(&bench, &bench, 0);
        queue.release(tag);
    }
    queue.reset(&bench, &bench);
    assert!(!queue.reap(&bench, &bench, 0));
    assert_eq!(queue.failures().total(), 0);
}

#[test]
fn reset_spares_commands_in_flight_while_slots_are_left() {
    let (bench, mut queue) = Bench::started();
    for _ in 0..SLOTS / 2 {
        let tag = bench.echo(&mut queue, 0);
        assert_eq!(poll(&mut queue, tag, PATIENCE), timeout());
    }
    let innocent = bench.echo(&mut queue, PATIENCE);
    assert!(!queue.tick(&bench, &bench, PATIENCE));
    assert_eq!(queue.counters().resets, 0);
    bench.answer(innocent.0, ECHO, Status::OK);
    queue.reap(&bench, &bench, PATIENCE);
    assert_eq!(poll(&mut queue, innocent, PATIENCE), status(Status::OK));
    queue.release(innocent);
    // Nobody waits any more: now it costs nothing.
    assert!(queue.tick(&bench, &bench, PATIENCE));
    assert_eq!(queue.counters().resets, 1);
}

#[test]
fn queue_that_the_device_stopped_is_restarted() {
    let (bench, mut queue) = Bench::started();
    let tag = bench.echo(&mut queue, 0);
    bench.set(AdminStatus::default().with_error(AdminError::BAD_TAIL.0.into()));
    assert!(queue.tick(&bench, &bench, 1));
    assert_eq!(poll(&mut queue, tag, 1), timeout());
    assert_eq!(queue.take_notice(), Some(Notice::Reset { unanswered: 1 }));
    assert_eq!(queue.state(), State::Running);
    bench.echo(&mut queue, 1);
}

#[test]
fn device_that_does_not_restart_is_given_up() {
    let (bench, mut queue) = Bench::started();
    let tag = bench.echo(&mut queue, 0);
    bench.refuses_to_start.set(true);
    queue.reset(&bench, &bench);
    assert_eq!(queue.state(), State::Lost(Loss::Refused(AdminError::NONE)));
    assert_eq!(poll(&mut queue, tag, 0), gone());
}

#[test]
fn vanished_device_is_given_up_at_the_next_tick() {
    let (bench, mut queue) = Bench::started();
    let tag = bench.echo(&mut queue, 0);
    let reserved = queue.reserve().unwrap().unwrap();
    bench.vanished.set(true);
    assert!(queue.tick(&bench, &bench, 1));
    assert_eq!(queue.take_notice(), Some(Notice::Lost(Loss::Vanished)));
    assert_eq!(poll(&mut queue, tag, 1), gone());
    assert_eq!(queue.reserve(), Err(Unanswered::Gone));
    let command = bench.submission(0);
    assert_eq!(
        queue.post(&bench, &bench, &command, 1, 2),
        Err(Unanswered::Gone)
    );
    queue.release(tag);
    queue.release(reserved);
    assert!(!queue.tick(&bench, &bench, 2));
    assert!(!queue.reap(&bench, &bench, 2));
    assert_eq!(queue.take_notice(), None);
}

#[test]
fn fatal_state_is_noticed() {
    let (bench, mut queue) = Bench::started();
    bench.set(FunctionStatus::default().with_fatal(1));
    assert!(queue.tick(&bench, &bench, 1));
    assert_eq!(queue.state(), State::Lost(Loss::Fatal));
}

#[test]
fn heart_that_stands_still_is_noticed_after_the_grace() {
    let (bench, mut queue) = Bench::started();
    queue.tick(&bench, &bench, 0);
    queue.tick(&bench, &bench, HEARTBEAT_GRACE);
    assert_eq!(queue.state(), State::Running);
    bench.beat();
    queue.tick(&bench, &bench, HEARTBEAT_GRACE + 1);
    queue.tick(&bench, &bench, 2 * HEARTBEAT_GRACE + 1);
    assert_eq!(queue.state(), State::Running);
    queue.tick(&bench, &bench, 2 * HEARTBEAT_GRACE + 2);
    assert_eq!(queue.state(), State::Lost(Loss::Hung));
}

#[test]
fn lost_queue_can_be_started_again() {
    let (bench, mut queue) = Bench::started();
    let (done, waiting) = (bench.echo(&mut queue, 0), bench.echo(&mut queue, 0));
    assert_eq!(poll(&mut queue, done, PATIENCE), timeout());
    queue.lose(Loss::Hung);
    assert_eq!(poll(&mut queue, waiting, 0), gone());
    queue.start(&bench, &bench).unwrap();
    queue.release(waiting);
    for _ in 0..SLOTS {
        bench.echo(&mut queue, 0);
    }
}

#[test]
fn paused_queue_makes_callers_wait_and_goes_on_where_it_was() {
    let (bench, mut queue) = Bench::started();
    queue.set_vector(&bench, Some(3));
    let (waiting, late) = (bench.echo(&mut queue, 0), bench.echo(&mut queue, 0));
    let reserved = queue.reserve().unwrap().unwrap();
    assert_eq!(poll(&mut queue, late, PATIENCE), timeout());
    assert_eq!(queue.pause(&bench), 2);
    assert_eq!(bench.written::<AdminControl>(), Some(0));
    assert_eq!(poll(&mut queue, waiting, 0), timeout());
    assert_eq!(queue.reserve(), Ok(None));
    assert!(!queue.has_room());
    assert!(!queue.tick(&bench, &bench, 1));
    let command = bench.submission(0);
    assert_eq!(
        queue.post(&bench, &bench, &command, 1, 2),
        Err(Unanswered::Timeout)
    );
    queue.release(reserved);
    queue.release(waiting);

    queue.start(&bench, &bench).unwrap();
    assert_eq!(bench.written::<AdminVector>(), Some(0x8000_0003));
    assert!(queue.has_room());
    for _ in 0..SLOTS {
        bench.echo(&mut queue, 0);
    }
    assert_eq!(queue.take_notice(), None);
}

#[test]
fn stop_turns_the_device_off_first() {
    let (bench, mut queue) = Bench::started();
    let tag = bench.echo(&mut queue, 0);
    queue.stop(&bench);
    assert_eq!(bench.written::<AdminControl>(), Some(0));
    assert_eq!(poll(&mut queue, tag, 0), gone());
    assert_eq!(queue.take_notice(), None);
}

#[test]
fn indices_run_through_the_end_of_their_range() {
    let (bench, mut queue) = Bench::started();
    // 2^16 is where the half that the device tells of the submission head wraps.
    for now in 0..(1 << 16) + 100 {
        let tag = bench.echo(&mut queue, now);
        bench.answer(tag.0, ECHO, Status::OK);
        queue.reap(&bench, &bench, now);
        assert_eq!(poll(&mut queue, tag, now), status(Status::OK));
        queue.release(tag);
    }
    assert_eq!(queue.failures().total(), 0);
}
