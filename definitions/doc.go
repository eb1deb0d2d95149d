// Package definitions turns YAML into a checked [Model] (entities, sources, views, services) and keeps the registry
// of what was applied.
//
// Loading goes through three stages, each of which reports everything it finds:
//
//  1. shape: every node is held against one table (fields.go) that knows each construct's fields. The JSON Schema
//     for editors ([Schema]) is printed from the same table, so the two cannot disagree.
//  2. meaning: names are resolved, types and expressions checked against the columns that the sources really have.
//  3. services: columns get their final names, key columns their types.
//
// What is wrong comes back as [Faults]: every fault of every file, with file, line, column and what to do.
package definitions
