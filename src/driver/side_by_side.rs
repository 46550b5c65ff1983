//! Waiting for several pieces of one step at the same time, without giving them away to other tasks: they may borrow.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// A piece of work.
pub(super) type Piece<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// Runs all of them to their ends, or until one fails: then the others are dropped. Results are in the order of the pieces.
///
/// # Errors
/// That of the first that fails.
pub(super) async fn all<T: Send, E>(mut pieces: Vec<Piece<'_, T, E>>) -> Result<Vec<T>, E> {
    let mut done: Vec<Option<T>> = pieces.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (piece, done) in pieces.iter_mut().zip(&mut done) {
            if done.is_none() {
                match piece.as_mut().poll(context) {
                    Poll::Ready(Ok(value)) => *done = Some(value),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {}
                }
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await?;
    Ok(done.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn results_keep_their_order_and_a_failure_ends_the_rest() {
        let slow = async || {
            tokio::task::yield_now().await;
            Ok::<_, ()>(1)
        };
        assert_eq!(all(vec![Box::pin(slow()), Box::pin(async { Ok(2) })]).await, Ok(vec![1, 2]));
        let never: Piece<'_, i32, &str> = Box::pin(std::future::pending());
        assert_eq!(all(vec![never, Box::pin(async { Err("no") })]).await, Err("no"));
        assert_eq!(all(Vec::<Piece<'_, i32, ()>>::new()).await, Ok(Vec::new()));
    }
}
