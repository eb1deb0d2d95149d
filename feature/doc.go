// Package feature is the vocabulary of asof: types, keys, views, services, statuses and the law of
// visibility. Every other package speaks it; it speaks to none of them.
//
// Three times are told apart everywhere and are never all called "timestamp":
//
//   - the event time of a row: when it happened;
//   - the created time of a row: when it became known (optional);
//   - the as-of time q of a read: the moment for which an answer is wanted.
//
// The rule that every engine obeys stands in one place, [View.Horizon]: a row is visible at q iff its
// event time is at or before the horizon of q.
package feature
