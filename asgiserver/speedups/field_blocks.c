#include "field_blocks.h"

static PyObject *get_name(const State *state, const char *name) {
    Span span = {(const uint8_t *)name, strlen(name)};
    int known = find_common_name(&state->table, span);
    if (known < 0) {
        PyErr_SetString(PyExc_SystemError, "a field has no name");
        return NULL;
    }
    return Py_NewRef(state->names[known]);
}

/* The first field of a name has the least index. */
static int add_static_fields(State *state) {
    for (int i = STATIC_FIELDS - 1; i >= 0; i--) {
        const StaticField *field = &static_fields[i];
        Span name = {(const uint8_t *)field->name, strlen(field->name)};
        Span value = {(const uint8_t *)field->value, strlen(field->value)};
        PyObject *items[2] = {get_name(state, field->name), bytes_of(value)};
        state->static_fields[i] = tuple_of(items, 2);
        if (state->static_fields[i] == NULL) {
            return -1;
        }
        state->static_index[find_common_name(&state->table, name)] = (uint8_t)(i + 1);
    }
    return 0;
}

int add_hpack(PyObject *module, State *state) {
    fill_huffman(&state->huffman);
    state->cookie = get_name(state, "cookie");
    state->host = get_name(state, "host");
    if (state->cookie == NULL || state->host == NULL || add_static_fields(state) < 0) {
        return -1;
    }
    return add_type(module, &decoder_spec) < 0 ? -1 : add_type(module, &encoder_spec);
}
