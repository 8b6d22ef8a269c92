//! The door of a manager that starts more than once.

use super::*;

const NOWHERE: &str = "127.0.0.1:0";

#[tokio::test]
async fn it_is_closed_until_somebody_opens_it_and_open_at_each_start_after_that() {
    let dir = tempfile::tempdir().unwrap();
    let (door, mut opened) = Door::new(dir.path());
    door.reopen().await;
    assert_eq!(door.address().await, None);
    let address = door.open(NOWHERE, "").await.unwrap();
    assert_eq!(door.address().await, Some(address));
    drop(opened.try_recv().unwrap());
    assert_eq!(door.open("", "").await.unwrap(), address, "it is open");
    assert_eq!(door.open(NOWHERE, "").await.unwrap(), address, "the same again");
    let other = door.open("127.0.0.1:1", "").await.unwrap_err().to_string();
    assert_eq!(other, format!("this manager's port is open already, at {address}"));
    assert!(opened.try_recv().is_err());
    assert_ne!(address.listen.port(), 0, "the system chose one, and it is kept");
    assert_eq!(address.listen, address.advertise);

    let (again, mut opened) = Door::new(dir.path());
    again.reopen().await;
    assert_eq!(again.address().await, Some(address));
    opened.try_recv().unwrap();
}

#[tokio::test]
async fn what_cannot_be_opened_is_not_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (door, _opened) = Door::new(dir.path());
    let address = taken.local_addr().unwrap();
    let error = door.open(&address.to_string(), "").await.unwrap_err().to_string();
    assert_eq!(error, format!("can't listen on {address}: address already in use"));
    assert!(!dir.path().join("door").exists());
    assert_eq!(door.address().await, None);
}

#[tokio::test]
async fn a_port_that_is_taken_at_a_start_is_opened_when_it_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let (first, mut opened) = Door::new(dir.path());
    let address = first.open(NOWHERE, "").await.unwrap();
    let taken = opened.try_recv().unwrap();
    let (door, mut opened) = Door::new(dir.path());
    let reopening = tokio::spawn({
        let door = door.clone();
        async move { door.reopen_with(Duration::from_millis(5)).await }
    });
    sleep(Duration::from_millis(50)).await;
    assert_eq!(door.address().await, None, "somebody else has it");
    assert!(!reopening.is_finished());
    drop(taken);
    reopening.await.unwrap();
    assert_eq!(door.address().await, Some(address));
    opened.try_recv().unwrap();
}
