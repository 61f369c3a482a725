/* The line of a request in the access log, as `asgiserver.log.access_format` makes it; None where
   something in it has to be escaped, or is rare. */

#include "core.h"

enum { LONGEST_LINE = 1024 };

/* A number in decimal digits. */
static bool put_number(Writer *writer, uint64_t number) {
    uint8_t digits[20];
    size_t count = 0;
    do {
        digits[count++] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    bool fits = true;
    while (fits && count > 0) {
        fits = put_byte(writer, digits[--count]);
    }
    return fits;
}

static bool put_text(Writer *writer, const char *text, size_t size) {
    Span span = {(const uint8_t *)text, size};
    return put_span(writer, span);
}

/* Text that can neither forge a line nor drive a terminal, and so stands for itself. */
static bool put_harmless(Writer *writer, Span text) {
    return span_is_harmless(text) && put_span(writer, text);
}

/* The characters of ASCII text; false when `object` is something else. */
static bool ascii_of(PyObject *object, Span *text) {
    if (!PyUnicode_CheckExact(object) || !PyUnicode_IS_ASCII(object)) {
        return false;
    }
    text->begin = (const uint8_t *)PyUnicode_1BYTE_DATA(object);
    text->size = (size_t)PyUnicode_GET_LENGTH(object);
    return true;
}

/* A number from 0 to `most`; false when `object` is something else. */
static bool number_of(PyObject *object, long long most, uint64_t *number) {
    if (!PyLong_CheckExact(object)) {
        return false;
    }
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    *number = (uint64_t)value;
    return overflow == 0 && value >= 0 && value <= most;
}

static bool put_client(Writer *writer, PyObject *client) {
    Span host;
    uint64_t port;
    if (client == Py_None) {
        return put_byte(writer, '-');
    }
    if (!PyTuple_CheckExact(client) || PyTuple_GET_SIZE(client) != 2
        || !ascii_of(PyTuple_GET_ITEM(client, 0), &host)
        || !number_of(PyTuple_GET_ITEM(client, 1), 65535, &port)) {
        return false;
    }
    bool in_brackets = span_has(host, ':');
    return (!in_brackets || put_byte(writer, '[')) && put_harmless(writer, host)
        && (!in_brackets || put_byte(writer, ']')) && put_byte(writer, ':')
        && put_number(writer, port);
}

/* Milliseconds with one decimal place, of seconds. */
static bool put_duration(Writer *writer, PyObject *duration) {
    if (!PyFloat_CheckExact(duration)) {
        return false;
    }
    double tenths = PyFloat_AS_DOUBLE(duration) * 10000 + 0.5;
    if (!(tenths >= 0 && tenths < 1e12)) {
        return false;
    }
    uint64_t rounded = (uint64_t)tenths;
    return put_number(writer, rounded / 10) && put_byte(writer, '.')
        && put_number(writer, rounded % 10) && put_text(writer, "ms", 2);
}

/* The milliseconds of a `time.time`, as three digits after a point. */
static bool put_milliseconds(Writer *writer, PyObject *now) {
    if (!PyFloat_CheckExact(now)) {
        return false;
    }
    double seconds = PyFloat_AS_DOUBLE(now);
    if (!(seconds >= 0 && seconds < 1e12)) {
        return false;
    }
    unsigned number = (unsigned)((seconds - (double)(uint64_t)seconds) * 1000);
    return put_byte(writer, '.') && put_byte(writer, (uint8_t)('0' + number / 100))
        && put_byte(writer, (uint8_t)('0' + number / 10 % 10))
        && put_byte(writer, (uint8_t)('0' + number % 10));
}

const char access_line_doc[] =
    "access_line(second, now, level, client, method, target, version, status, sent, duration)\n"
    "--\n\n"
    "A line of the access log, which begins with the text of a second, the milliseconds of `now`\n"
    "and the text of the level; None when Python has to make it.";

PyObject *access_line(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    uint8_t line[LONGEST_LINE];
    Writer writer = writer_of(line, sizeof line);
    Span second, level, method, version;
    uint64_t status, sent;
    if (count != 10) {
        PyErr_SetString(PyExc_TypeError, "access_line takes 10 arguments");
        return NULL;
    }
    if (!ascii_of(args[0], &second) || !ascii_of(args[2], &level) || !ascii_of(args[4], &method)
        || !PyBytes_CheckExact(args[5]) || !ascii_of(args[6], &version)
        || !number_of(args[7], 999, &status) || !number_of(args[8], INT64_MAX, &sent)) {
        Py_RETURN_NONE;
    }
    bool fits = put_span(&writer, second) && put_milliseconds(&writer, args[1])
        && put_span(&writer, level) && put_client(&writer, args[3])
        && put_text(&writer, " \"", 2) && put_harmless(&writer, method) && put_byte(&writer, ' ')
        && put_harmless(&writer, span_of(args[5])) && put_text(&writer, " HTTP/", 6)
        && put_harmless(&writer, version) && put_text(&writer, "\" ", 2)
        && put_number(&writer, status) && put_byte(&writer, ' ') && put_number(&writer, sent)
        && put_text(&writer, "B ", 2) && put_duration(&writer, args[9]);
    if (!fits) {
        Py_RETURN_NONE;
    }
    return PyUnicode_DecodeASCII(
        (const char *)line, (Py_ssize_t)(sizeof line - writer_left(&writer)), NULL);
}
