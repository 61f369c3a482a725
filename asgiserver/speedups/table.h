/* A dynamic table of HPACK (RFC 7541 section 2.3.2): fields as Python objects, the newest first. */

#ifndef ASGISERVER_TABLE_H
#define ASGISERVER_TABLE_H

#include "core.h"

typedef struct {
    PyObject *field; /* (name, value): a tuple of two bytes */
    Py_hash_t hash, name_hash; /* for `table_find`: of the tuple, and of the name */
} Entry;

typedef struct {
    Entry *entries;      /* a ring of `room` entries: a power of two, or 0 */
    size_t room, count;
    size_t next;         /* where the next one comes, modulo `room` */
    size_t size, most;   /* in bytes, as section 4.1 counts */
} Table;

/* The size of a field in the table, and in a list of fields (RFC 9113 section 6.5.2). */
static inline size_t field_size(PyObject *field) {
    return (size_t)PyBytes_GET_SIZE(name_of(field)) + (size_t)PyBytes_GET_SIZE(value_of(field))
        + ENTRY_OVERHEAD;
}

/* The entry of an index: 0 is the newest. NULL: there is none. */
const Entry *table_get(const Table *table, uint64_t index);

/* Adds a field, with a reference of its own, and evicts others for it; one that is larger than the table
   empties it. False when memory ends; then no exception is set, and the table is as it was. */
bool table_add(Table *table, Entry entry);

/* Sets the size that the table may have, and evicts what is too much. */
void table_resize(Table *table, size_t most);

/* The table without its entries, and without memory. */
void table_clear(Table *table);

/* A list of the fields, the newest first. */
PyObject *table_fields(const Table *table);

#endif
