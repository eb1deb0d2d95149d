package pointintime

import "github.com/asof-store/asof/aggregate"

// folded are the states of a shard's groups, made ready for merging ranges of them.
type folded struct {
	spec   *aggregate.Spec
	pool   *statePool // what the states come from
	states aggregate.States
	ready  bool
	tree   tree // of states that cannot be taken out again
}

// prepare makes ranges of n groups ready, once: by sumUp for states that can be taken out again, else by a tree.
func (f *folded) prepare(sumUp func(aggregate.Remover), n int) {
	if f.ready {
		return
	}
	f.ready = true
	if remover, ok := f.states.(aggregate.Remover); ok {
		sumUp(remover)
		return
	}
	f.tree = newTree(f.states, f.pool.get(f.spec, n), n)
}

// free gives the memory of the states back.
func (f *folded) free() {
	f.pool.put(f.spec, f.states)
	if f.tree.nodes != nil {
		f.pool.put(f.spec, f.tree.nodes)
	}
}

// tree is a segment tree: node i is the merge of nodes 2i and 2i+1, and node n+i is leaf i.
type tree struct {
	n      int
	leaves aggregate.States
	nodes  aggregate.States
}

// newTree builds the tree above n leaves; nodes are n empty groups.
func newTree(leaves, nodes aggregate.States, n int) tree {
	t := tree{n: n, leaves: leaves, nodes: nodes}
	for i := n - 1; i > 0; i-- {
		t.mergeNode(t.nodes, i, 2*i)
		t.mergeNode(t.nodes, i, 2*i+1)
	}
	return t
}

func (t *tree) mergeNode(out aggregate.States, dst, node int) {
	if node >= t.n {
		out.Merge(dst, t.leaves, node-t.n)
	} else {
		out.Merge(dst, t.nodes, node)
	}
}

// merge merges the leaves [from, to) into group dst of out, by at most two nodes of each level.
func (t *tree) merge(out aggregate.States, dst, from, to int) {
	for l, r := from+t.n, to+t.n; l < r; l, r = l/2, r/2 {
		if l%2 == 1 {
			t.mergeNode(out, dst, l)
			l++
		}
		if r%2 == 1 {
			r--
			t.mergeNode(out, dst, r)
		}
	}
}
