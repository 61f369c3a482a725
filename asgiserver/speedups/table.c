#include "table.h"

enum { FIRST_ROOM = 8 };

const Entry *table_get(const Table *table, uint64_t index) {
    if (index >= table->count) {
        return NULL;
    }
    return &table->entries[(table->next - 1 - (size_t)index) & (table->room - 1)];
}

static void evict_oldest(Table *table) {
    size_t at = (table->next - table->count) & (table->room - 1);
    PyObject *field = table->entries[at].field;
    table->entries[at].field = NULL;
    table->count--;
    table->size -= field_size(field);
    Py_DECREF(field);
}

static void evict(Table *table, size_t most) {
    while (table->size > most) {
        evict_oldest(table);
    }
}

static bool grow(Table *table) {
    size_t room = table->room == 0 ? FIRST_ROOM : table->room * 2;
    Entry *entries = PyMem_Calloc(room, sizeof *entries);
    if (entries == NULL) {
        return false;
    }
    for (size_t i = 0; i < table->count; i++) {
        entries[table->count - 1 - i] = *table_get(table, i);
    }
    PyMem_Free(table->entries);
    table->entries = entries;
    table->room = room;
    table->next = table->count;
    return true;
}

bool table_add(Table *table, Entry entry) {
    size_t size = field_size(entry.field);
    if (size > table->most) {
        evict(table, 0);
        return true;
    }
    if (table->count == table->room && !grow(table)) {
        return false;
    }
    evict(table, table->most - size);
    Py_INCREF(entry.field);
    table->entries[table->next & (table->room - 1)] = entry;
    table->next++;
    table->count++;
    table->size += size;
    return true;
}

void table_resize(Table *table, size_t most) {
    table->most = most;
    evict(table, most);
}

void table_clear(Table *table) {
    evict(table, 0);
    PyMem_Free(table->entries);
    table->entries = NULL;
    table->room = table->next = 0;
}

PyObject *table_fields(const Table *table) {
    PyObject *fields = PyList_New((Py_ssize_t)table->count);
    for (size_t i = 0; fields != NULL && i < table->count; i++) {
        PyList_SET_ITEM(fields, (Py_ssize_t)i, Py_NewRef(table_get(table, i)->field));
    }
    return fields;
}
