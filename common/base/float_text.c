// A program that sets its locale may write "1,5": everything here runs under the locale "C".
#include "base/float_text.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The calling thread changes to the locale "C"; the result goes to leave_c_locale. The C library
// keeps "C" ready: nothing is allocated.
static locale_t
enter_c_locale(void)
{
    return uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0));
}

static void
leave_c_locale(locale_t before)
{
    freelocale(uselocale(before));
}

double
float_parse(const char *text)
{
    locale_t before = enter_c_locale();
    double number = strtod(text, NULL);
    leave_c_locale(before);
    return number;
}

// Adds one to the last of the digits of a %e text ("1.29e-05" to "1.30e-05"); false: they are all
// nines.
static bool
round_up(char *text)
{
    char *at = strchr(text, 'e') - 1;
    for (; at >= text && *at != '-'; at--) {
        if (*at == '.') {
            continue;
        }
        if (*at != '9') {
            ++*at;
            return true;
        }
        *at = '0';
    }
    return false;
}

// Below a power of two the doubles lie twice as close as above, so there the correctly rounded
// digits may read back as the neighbour below while the next digits up read back right.
static bool
digits_read_back(char *text, double number, bool is_power_of_two)
{
    if (strtod(text, NULL) == number) {
        return true;
    }
    if (!is_power_of_two) {
        return false;
    }
    return round_up(text) && strtod(text, NULL) == number;
}

// Digits of the shortest %e form that reads back the same: sign, digits without point, exponent of
// the first digit.
static void
shortest_digits(double number, char digits[24], int *exponent)
{
    char text[40];
    int power;
    bool is_power_of_two = frexp(number, &power) == 0.5;
    locale_t before = enter_c_locale();
    for (int precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, number);
        if (digits_read_back(text, number, is_power_of_two)) {
            break;
        }
    }
    leave_c_locale(before);
    char *mark = strchr(text, 'e');
    *exponent = (int)strtol(mark + 1, NULL, 10);
    size_t digits_len = 0;
    for (const char *at = text; at < mark; at++) {
        if (*at >= '0' && *at <= '9') {
            digits[digits_len++] = *at;
        }
    }
    while (digits_len > 1 && digits[digits_len - 1] == '0') {
        digits_len--;
    }
    digits[digits_len] = '\0';
}

static void
append_zeros(struct bytes *out, int zeros_count)
{
    for (; zeros_count > 0; zeros_count--) {
        bytes_append_byte(out, '0');
    }
}

void
float_repr(double number, struct bytes *out)
{
    if (isnan(number)) {
        bytes_append_text(out, "nan");
        return;
    }
    if (signbit(number)) {
        bytes_append_byte(out, '-');
        number = -number;
    }
    if (isinf(number)) {
        bytes_append_text(out, "inf");
        return;
    }
    char digits[24];
    int exponent;
    shortest_digits(number, digits, &exponent);
    int digits_len = (int)strlen(digits);
    if (exponent < -4 || exponent >= 16) {
        bytes_append_byte(out, (uint8_t)digits[0]);
        if (digits_len > 1) {
            bytes_printf(out, ".%s", digits + 1);
        }
        bytes_printf(out, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        return;
    }
    if (exponent < 0) {
        bytes_append_text(out, "0.");
        append_zeros(out, -exponent - 1);
        bytes_append_text(out, digits);
        return;
    }
    int whole_len = exponent + 1;
    int taken = digits_len < whole_len ? digits_len : whole_len;
    bytes_append(out, digits, (size_t)taken);
    append_zeros(out, whole_len - digits_len);
    bytes_printf(out, ".%s", digits_len > whole_len ? digits + whole_len : "0");
}
