//go:build spy

package batch

// Instead has the posts of later batches sent by send, which gets the function that sent them
// before.
func (b *Batcher) Instead(send func(posts []*Post, before func([]*Post))) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.send
	b.send = func(posts []*Post) { send(posts, before) }
}
