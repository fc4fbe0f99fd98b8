// SPDX-License-Identifier: GPL-2.0

use ferrite_vfio_logic::account::Account;

#[test]
fn initial_bytes_go_down_to_zero_and_dirty_ones_up_and_down() {
    let mut account = Account::default();
    account.save(100);
    account.begin();
    assert_eq!(account.tell(0), (100, 0));
    account.read(60);
    assert_eq!(account.tell(5), (40, 5));
    account.save(20);
    assert_eq!(account.tell(0), (40, 20));
    account.read(50);
    assert_eq!((account.tell(0), account.unread()), ((0, 10), 10));
    account.read(10);
    assert_eq!((account.tell(0), account.unread()), ((0, 0), 0));
}

#[test]
fn setup_anew_makes_what_is_there_initial_again() {
    let mut account = Account::default();
    account.save(10);
    account.begin();
    account.read(10);
    account.save(7);
    account.save(30);
    account.begin();
    assert_eq!(account.tell(0), (37, 0));
    account.read(37);
    assert_eq!(account.tell(3), (0, 3));
}
