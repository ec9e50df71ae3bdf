package a.b; // c
public class A { /* x */ public static void main(String[] a) { String s = "\\""; } }
