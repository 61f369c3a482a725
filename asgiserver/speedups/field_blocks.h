/* What the types for field blocks share.

   An object belongs to one connection and so to one thread. Should two threads use it, or a
   finalizer that runs within a call, the second one gets a RuntimeError. Objects have only bytes,
   so they need no part in garbage collection. */

#ifndef ASGISERVER_FIELD_BLOCKS_H
#define ASGISERVER_FIELD_BLOCKS_H

#include "table.h"

/* Whether nobody else uses an object; it has to be given back with `*is_busy = false`. */
static inline bool take_object(bool *is_busy) {
    if (*is_busy) {
        PyErr_SetString(PyExc_RuntimeError, "the object is in use");
        return false;
    }
    return *is_busy = true;
}

/* A size that is an int and not negative. */
static inline bool take_number(PyObject *object, size_t *number) {
    *number = PyLong_AsSize_t(object);
    return *number != (size_t)-1 || !PyErr_Occurred();
}

/* The fields of a table, for tests. */
static inline PyObject *fields_of(PyObject *self, const Table *table, bool *is_busy) {
    PyObject *fields = NULL;
    BEGIN_USE(self);
    if (take_object(is_busy)) {
        fields = table_fields(table);
        *is_busy = false;
    }
    END_USE()
    return fields;
}

#define TABLE_DOC "The fields of the dynamic table, the newest first."

static inline void release_object(PyObject *self, Table *table) {
    PyTypeObject *type = Py_TYPE(self);
    table_clear(table);
    type->tp_free(self);
    Py_DECREF(type);
}

extern PyType_Spec decoder_spec, encoder_spec;

#endif
