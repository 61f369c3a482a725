/* Field blocks that come: `Decoder`, one for each connection. */

#include "field_blocks.h"

typedef struct {
    PyObject_HEAD
    Table table;
    size_t most;  /* what the table's size may be set to */
    Fault fault;  /* an earlier one: what came after it is lost */
    bool is_busy;
} Decoder;

/* Fields as they are counted; `kept` is NULL after a limit was passed. */
typedef struct {
    PyObject *kept;
    size_t fields, crumbs, bytes; /* how many more there may be */
    bool is_late;                 /* there was a field */
    Fault fault;
} Count;

/* The text of a string; NULL without an exception: it is not of the Huffman code. */
static PyObject *decode_string(const State *state, String string) {
    if (!string.is_coded) {
        return bytes_of(string.bytes);
    }
    size_t most = huffman_most(string.bytes);
    PyObject *text = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)most);
    if (text == NULL) {
        return NULL;
    }
    Writer writer = writer_of(PyBytes_AS_STRING(text), most);
    if (!huffman_decode(&state->huffman, string.bytes, &writer)) {
        Py_DECREF(text);
        return NULL;
    }
    _PyBytes_Resize(&text, (Py_ssize_t)(most - writer_left(&writer)));
    return text;
}

static PyObject *decode_name(const State *state, String string) {
    PyObject *name = decode_string(state, string);
    int known = name == NULL ? -1 : find_common_name(&state->table, span_of(name));
    if (known >= 0) {
        Py_SETREF(name, Py_NewRef(state->names[known]));
    }
    return name;
}

/* The field of an index, borrowed; NULL: there is none. */
static PyObject *get_field(const Decoder *decoder, const State *state, uint64_t index) {
    if (index == 0) {
        return NULL;
    }
    if (index <= STATIC_FIELDS) {
        return state->static_fields[index - 1];
    }
    const Entry *entry = table_get(&decoder->table, index - STATIC_FIELDS - 1);
    return entry == NULL ? NULL : entry->field;
}

/* The field of a representation; NULL, with a fault or an exception: there is none. */
static PyObject *make_field(
    const Decoder *decoder, const State *state, const Representation *taken, Fault *fault) {
    PyObject *found = get_field(decoder, state, taken->number);
    if (found == NULL && (taken->kind == INDEXED || taken->number != 0)) {
        *fault = NO_SUCH_INDEX;
        return NULL;
    }
    if (taken->kind == INDEXED) {
        return Py_NewRef(found);
    }
    PyObject *items[2];
    items[0] = found != NULL ? Py_NewRef(name_of(found)) : decode_name(state, taken->name);
    items[1] = items[0] == NULL ? NULL : decode_string(state, taken->value);
    if (items[1] == NULL && !PyErr_Occurred()) {
        *fault = BAD_HUFFMAN;
    }
    return tuple_of(items, 2);
}

/* Keeps a field, unless a limit is passed; false when memory ends. */
static bool keep_field(Count *count, const State *state, PyObject *field) {
    size_t size = field_size(field);
    size_t *left = name_of(field) == state->cookie ? &count->crumbs : &count->fields;
    count->is_late = true;
    if (count->fault != NO_FAULT) {
        return true;
    }
    if (*left == 0 || size > count->bytes) {
        count->fault = *left == 0 ? TOO_MANY_FIELDS : FIELDS_TOO_LARGE;
        Py_CLEAR(count->kept);
        return true;
    }
    --*left;
    count->bytes -= size;
    return PyList_Append(count->kept, field) == 0;
}

/* Does what the representation says; a fault that ends the block, or NO_FAULT. */
static Fault follow(
    Decoder *decoder, const State *state, const Representation *taken, Count *count) {
    Fault fault = NO_FAULT;
    if (taken->kind == RESIZE) {
        if (count->is_late) {
            return LATE_RESIZE;
        }
        if (taken->number > decoder->most) {
            return TABLE_TOO_LARGE;
        }
        table_resize(&decoder->table, (size_t)taken->number);
        return NO_FAULT;
    }
    PyObject *field = make_field(decoder, state, taken, &fault);
    if (field == NULL) {
        return fault;
    }
    bool is_kept = keep_field(count, state, field);
    Entry entry = {field, 0, 0}; /* nobody looks for it by its hash */
    if (is_kept && taken->kind == ADDED && !table_add(&decoder->table, entry)) {
        PyErr_NoMemory();
    }
    Py_DECREF(field);
    return NO_FAULT;
}

/* The list of fields, or the number of a fault. */
static PyObject *decode_block(Decoder *decoder, const State *state, Span block, Count *count) {
    Reader reader = reader_of(block);
    Representation taken;
    Fault fault = decoder->fault != NO_FAULT ? EARLIER_FAULT : NO_FAULT;
    count->kept = fault != NO_FAULT ? NULL : PyList_New(0);
    while (fault == NO_FAULT && !PyErr_Occurred() && !reader_at_end(&reader)) {
        fault = take_representation(&reader, &taken);
        if (fault == NO_FAULT) {
            fault = follow(decoder, state, &taken, count);
        }
    }
    if (PyErr_Occurred()) {
        decoder->fault = EARLIER_FAULT;
        Py_CLEAR(count->kept);
    } else if (fault != NO_FAULT || count->fault != NO_FAULT) {
        decoder->fault = fault;
        Py_CLEAR(count->kept);
        count->kept = PyLong_FromLong(fault != NO_FAULT ? fault : count->fault);
    }
    return count->kept;
}

PyDoc_STRVAR(decode_doc,
"decode(block, most_fields, most_crumbs, most_bytes)\n--\n\n"
"The fields of a block, or the number of a fault.");

static PyObject *decoder_decode(PyObject *self, PyObject *const *args, Py_ssize_t size) {
    Decoder *decoder = (Decoder *)self;
    Count count = {NULL, 0, 0, 0, false, NO_FAULT};
    if (size != 4 || !PyBytes_CheckExact(args[0])) {
        PyErr_SetString(PyExc_TypeError, "decode takes bytes and 3 numbers");
        return NULL;
    }
    if (!take_number(args[1], &count.fields) || !take_number(args[2], &count.crumbs)
        || !take_number(args[3], &count.bytes)) {
        return NULL;
    }
    PyObject *result = NULL;
    BEGIN_USE(self);
    if (take_object(&decoder->is_busy)) {
        const State *state = PyType_GetModuleState(Py_TYPE(self));
        result = decode_block(decoder, state, span_of(args[0]), &count);
        decoder->is_busy = false;
    }
    END_USE()
    return result;
}

static PyObject *decoder_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    Py_ssize_t most;
    if (keywords != NULL || !PyArg_ParseTuple(args, "n:Decoder", &most)) {
        return NULL;
    }
    Decoder *decoder = (Decoder *)type->tp_alloc(type, 0);
    if (decoder != NULL) {
        decoder->most = decoder->table.most = most < 0 ? 0 : (size_t)most;
    }
    return (PyObject *)decoder;
}

static void decoder_release(PyObject *self) {
    release_object(self, &((Decoder *)self)->table);
}

static PyObject *decoder_table(PyObject *self, void *Py_UNUSED(closure)) {
    Decoder *decoder = (Decoder *)self;
    return fields_of(self, &decoder->table, &decoder->is_busy);
}

static PyMethodDef decoder_methods[] = {
    {"decode", (PyCFunction)(void (*)(void))decoder_decode, METH_FASTCALL, decode_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef decoder_attributes[] = {
    {"table", decoder_table, NULL, TABLE_DOC, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot decoder_slots[] = {
    {Py_tp_doc, "Decoder(table_size)\n--\n\nDecodes the field blocks of one connection."},
    {Py_tp_new, decoder_new},
    {Py_tp_dealloc, decoder_release},
    {Py_tp_methods, decoder_methods},
    {Py_tp_getset, decoder_attributes},
    {0, NULL},
};

PyType_Spec decoder_spec = {
    .name = "asgiserver.speedups._core.Decoder",
    .basicsize = sizeof(Decoder),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = decoder_slots,
};
