// Package materialize brings a view's offline history, then its online values, up to a time.
//
// A run plans a range of event times from the watermark in the offline snapshot, reads the source's rows of that range,
// filters and computes, sorts them in bounded memory, and replaces the range in one commit that also carries the new watermark.
// Publishing then asks the point-in-time join for the values, as of the watermark, of every key whose value can have changed, and
// writes them online; the record of what the online store now holds is written last.
//
// There is no other record of progress, so a crash needs no repair of its own: whatever the moment, the offline table is at the
// old or the new snapshot, and the next [Engine.Publish] sees that online is behind and publishes the difference.
package materialize
