use super::super::budget::Budget;
use super::*;

fn share() -> (Budget, Share) {
    let budget = Budget::default();
    let share = budget.share("t");
    (budget, share)
}

fn parts(parts: &[&'static str]) -> Body {
    let parts: Vec<_> = parts.iter().map(|part| Ok::<_, std::io::Error>(*part)).collect();
    Body::from_stream(futures_util::stream::iter(parts))
}

#[tokio::test]
async fn a_body_is_its_parts_and_ends_at_the_limit() {
    let (budget, share) = share();
    let headers = HeaderMap::new();
    for (given, expected) in
        [(&[][..], ""), (&["ab"], "ab"), (&["a", "", "b", "c"], "abc"), (&["", "abcd"], "abcd")]
    {
        let (bytes, held) = whole(parts(given), &headers, 4, &share).await.unwrap();
        assert_eq!(bytes, expected);
        assert_eq!(budget.held(), expected.len());
        drop(held);
    }
    let refused = whole(parts(&["abc", "de"]), &headers, 4, &share).await.unwrap_err();
    assert_eq!(refused.status, 413);
    assert_eq!(budget.held(), 0, "all is given back");
}

#[tokio::test]
async fn an_announced_length_over_the_limit_is_refused_unread() {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_LENGTH, 5.into());
    let endless = Body::from_stream(futures_util::stream::pending::<std::io::Result<Bytes>>());
    let refused = whole(endless, &headers, 4, &share().1).await.unwrap_err();
    assert_eq!(refused.status, 413);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_coming_is_given_up() {
    let endless = Body::from_stream(futures_util::stream::pending::<std::io::Result<Bytes>>());
    let slow = whole(endless, &HeaderMap::new(), 4, &share().1).await.unwrap_err();
    assert_eq!(slow.status, 408);
}

#[tokio::test]
async fn what_is_read_from_a_body_counts_as_long_as_it_is_kept() {
    let (budget, share) = share();
    let read = held_json::<Vec<u8>>(parts(&["[1,2]"]), &HeaderMap::new(), 9, &share).await;
    let (value, held) = read.unwrap();
    assert_eq!((value, budget.held()), (vec![1, 2], 5));
    drop(held);
    assert_eq!(budget.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_only_drips_is_given_up() {
    let drip = futures_util::stream::unfold((), |()| async {
        tokio::time::sleep(PART_LIMIT / 3).await;
        Some((Ok::<_, std::io::Error>("a"), ()))
    });
    let (mut body, mut pace) = (Body::from_stream(drip).into_data_stream(), Pace::default());
    let mut parts = 0;
    let slow = loop {
        match pace.part(&mut body).await {
            Ok(part) => assert_eq!(part.unwrap(), "a"),
            Err(slow) => break slow,
        }
        parts += 1;
    };
    assert_eq!((slow.status, parts), (408, 2));
}
