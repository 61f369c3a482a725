/* Field blocks that leave: `Encoder`, one for each connection. */

#include "field_blocks.h"

enum { MET = 32 };

typedef struct {
    PyObject_HEAD
    Table table;
    PyObject *never; /* a frozenset: names of fields that may never be indexed */
    size_t least;    /* the least size since the peer was told one */
    size_t told;     /* the size that the peer knows */
    Py_hash_t met[MET]; /* fields that were sent and were in no table, by their hash: the last ones */
    unsigned next_met;
    bool is_busy;
} Encoder;

/* Index in both tables; 0: there is none. */
typedef struct {
    size_t field, name;
} Found;

static void find_static(const State *state, PyObject *field, Found *found) {
    int known = find_common_name(&state->table, span_of(name_of(field)));
    size_t index = known < 0 ? 0 : state->static_index[known];
    found->name = index;
    for (; index != 0 && index <= STATIC_FIELDS && found->field == 0; index++) {
        PyObject *other = state->static_fields[index - 1];
        if (name_of(other) != state->names[known]) {
            break;
        }
        if (are_equal(value_of(other), value_of(field))) {
            found->field = index;
        }
    }
}

static void find_dynamic(const Table *table, const Entry *wanted, Found *found) {
    PyObject *name = name_of(wanted->field), *value = value_of(wanted->field);
    for (size_t i = 0; i < table->count; i++) {
        const Entry *entry = table_get(table, i);
        if (entry->hash == wanted->hash && are_equal(name_of(entry->field), name)
            && are_equal(value_of(entry->field), value)) {
            found->field = i + STATIC_FIELDS + 1;
            return;
        }
        if (found->name == 0 && entry->name_hash == wanted->name_hash
            && are_equal(name_of(entry->field), name)) {
            found->name = i + STATIC_FIELDS + 1;
        }
    }
}

/* Whether a field was met before, and so is likely to be met again; remembers it. */
static bool was_met(Encoder *encoder, Py_hash_t hash) {
    for (unsigned i = 0; i < MET; i++) {
        if (encoder->met[i] == hash) {
            return true;
        }
    }
    encoder->met[encoder->next_met++ % MET] = hash;
    return false;
}

/* Writes a field that is in no table; its name may be. */
static bool put_literal(
    Encoder *encoder, const State *state, Writer *block, const Entry *entry, size_t name_index) {
    PyObject *name = name_of(entry->field), *value = value_of(entry->field);
    unsigned pattern = PUT_NOT_ADDED, prefix = BITS_NOT_ADDED;
    int is_secret = PySet_Contains(encoder->never, name);
    if (is_secret < 0) {
        return false;
    }
    if (is_secret) {
        pattern = PUT_NEVER;
        prefix = BITS_NEVER;
    } else if (
        field_size(entry->field) <= encoder->table.most && was_met(encoder, entry->hash)
        && table_add(&encoder->table, *entry)) {
        pattern = PUT_ADDED;
        prefix = BITS_ADDED;
    }
    return put_integer(block, pattern, prefix, name_index)
        && (name_index != 0 || put_string(block, &state->huffman, span_of(name)))
        && put_string(block, &state->huffman, span_of(value));
}

static bool put_field(Encoder *encoder, const State *state, Writer *block, PyObject *field) {
    Found found = {0, 0};
    Entry entry = {field, PyObject_Hash(field), PyObject_Hash(name_of(field))};
    find_static(state, field, &found);
    if (found.field == 0) {
        find_dynamic(&encoder->table, &entry, &found);
    }
    if (found.field != 0) {
        return put_integer(block, PUT_INDEXED, BITS_INDEXED, found.field);
    }
    return put_literal(encoder, state, block, &entry, found.name);
}

/* Tells the peer what size the table has, and had in between (RFC 7541 section 4.2). */
static bool put_sizes(Encoder *encoder, Writer *block) {
    size_t most = encoder->table.most, least = encoder->least, told = encoder->told;
    bool fits = true;
    if (least < most && least < told) {
        fits = put_integer(block, PUT_RESIZE, BITS_RESIZE, least);
        told = least;
    }
    if (most != told) {
        fits = fits && put_integer(block, PUT_RESIZE, BITS_RESIZE, most);
    }
    encoder->least = encoder->told = most;
    return fits;
}

/* After a block was lost: the next one empties the table of the peer, too. */
static void start_again(Encoder *encoder) {
    table_clear(&encoder->table);
    memset(encoder->met, 0, sizeof encoder->met);
    encoder->least = 0;
    encoder->told = SIZE_MAX;
}

/* Bytes that a block of these fields has at most; 0 with an exception: they are no fields. */
static size_t measure(PyObject *fields) {
    size_t size = 2 * LONGEST_INTEGER;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(fields); i++) {
        PyObject *field = PyTuple_GET_ITEM(fields, i);
        if (!is_field(field)) {
            PyErr_SetString(PyExc_TypeError, "a field is a tuple of two bytes");
            return 0;
        }
        size += field_size(field) - ENTRY_OVERHEAD + 3 * LONGEST_INTEGER;
    }
    return size;
}

static PyObject *encode_block(Encoder *encoder, const State *state, PyObject *fields) {
    size_t size = measure(fields);
    PyObject *block = size == 0 ? NULL : PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (block == NULL) {
        return NULL;
    }
    Writer writer = writer_of(PyBytes_AS_STRING(block), size);
    bool fits = put_sizes(encoder, &writer);
    for (Py_ssize_t i = 0; fits && i < PyTuple_GET_SIZE(fields); i++) {
        fits = put_field(encoder, state, &writer, PyTuple_GET_ITEM(fields, i));
    }
    if (fits) {
        _PyBytes_Resize(&block, (Py_ssize_t)(size - writer_left(&writer)));
    } else {
        Py_CLEAR(block);
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_SystemError, "no room for a field");
        }
    }
    if (block == NULL) {
        start_again(encoder);
    }
    return block;
}

PyDoc_STRVAR(encode_doc,
"encode(fields)\n--\n\n"
"The block of a list or tuple of fields.");

static PyObject *encoder_encode(PyObject *self, PyObject *given) {
    Encoder *encoder = (Encoder *)self;
    if (!PyList_CheckExact(given) && !PyTuple_CheckExact(given)) {
        PyErr_SetString(PyExc_TypeError, "fields are a list or a tuple");
        return NULL;
    }
    PyObject *fields = PySequence_Tuple(given); /* so that nobody changes it meanwhile */
    if (fields == NULL) {
        return NULL;
    }
    PyObject *block = NULL;
    BEGIN_USE(self);
    if (take_object(&encoder->is_busy)) {
        block = encode_block(encoder, PyType_GetModuleState(Py_TYPE(self)), fields);
        encoder->is_busy = false;
    }
    END_USE()
    Py_DECREF(fields);
    return block;
}

PyDoc_STRVAR(resize_doc,
"resize(size)\n--\n\n"
"Gives the table another size, in bytes; the next block tells the peer.");

static PyObject *encoder_resize(PyObject *self, PyObject *size) {
    Encoder *encoder = (Encoder *)self;
    size_t most;
    if (!take_number(size, &most)) {
        return NULL;
    }
    bool is_done = false;
    BEGIN_USE(self);
    if (take_object(&encoder->is_busy)) {
        table_resize(&encoder->table, most);
        encoder->least = most < encoder->least ? most : encoder->least;
        encoder->is_busy = false;
        is_done = true;
    }
    END_USE()
    return is_done ? Py_NewRef(Py_None) : NULL;
}

static PyObject *encoder_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    Py_ssize_t most;
    PyObject *never;
    if (keywords != NULL
        || !PyArg_ParseTuple(args, "nO!:Encoder", &most, &PyFrozenSet_Type, &never)) {
        return NULL;
    }
    Encoder *encoder = (Encoder *)type->tp_alloc(type, 0);
    if (encoder != NULL) {
        encoder->never = Py_NewRef(never);
        encoder->least = encoder->told = encoder->table.most = most < 0 ? 0 : (size_t)most;
    }
    return (PyObject *)encoder;
}

static void encoder_release(PyObject *self) {
    Py_CLEAR(((Encoder *)self)->never);
    release_object(self, &((Encoder *)self)->table);
}

static PyObject *encoder_table(PyObject *self, void *Py_UNUSED(closure)) {
    Encoder *encoder = (Encoder *)self;
    return fields_of(self, &encoder->table, &encoder->is_busy);
}

static PyMethodDef encoder_methods[] = {
    {"encode", encoder_encode, METH_O, encode_doc},
    {"resize", encoder_resize, METH_O, resize_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef encoder_attributes[] = {
    {"table", encoder_table, NULL, TABLE_DOC, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot encoder_slots[] = {
    {Py_tp_doc, "Encoder(table_size, never_indexed)\n--\n\n"
                "Encodes the field blocks of one connection."},
    {Py_tp_new, encoder_new},
    {Py_tp_dealloc, encoder_release},
    {Py_tp_methods, encoder_methods},
    {Py_tp_getset, encoder_attributes},
    {0, NULL},
};

PyType_Spec encoder_spec = {
    .name = "asgiserver.speedups._core.Encoder",
    .basicsize = sizeof(Encoder),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = encoder_slots,
};
